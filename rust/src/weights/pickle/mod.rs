//! Reads the pickle of a torch file as data. Nothing in it is ever called: the few names that weights need have a
//! fixed meaning here, and any other name or opcode is refused.

mod input;
mod memory;
mod names;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a panic fails the test")]
pub(crate) mod tests;

use self::input::{Input, Result, damaged};
use self::memory::{Memory, Value};
pub(crate) use self::names::ElementType;
use self::names::{Global, global, refused, unneeded};
use crate::weights::stored::{MAX_RANK, MAX_TENSORS, shown};

/// Elements of the file in the archive that is called `key`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Storage<'a> {
    pub element: ElementType,
    pub key: &'a str,
    pub count: u64,
}

/// A view of a storage, as the pickle says: nothing is checked against the storage yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct View<'a> {
    pub storage: Storage<'a>,
    /// Elements before the first.
    pub offset: u64,
    pub shape: Vec<u64>,
    pub strides: Vec<u64>,
}

/// Tensors with their names.
pub(crate) type Named<'a> = Vec<(&'a str, View<'a>)>;

/// The tensors of the dictionary that the pickle describes, with their names, in its order; and what follows the pickle.
pub(crate) fn tensors(pickle: &[u8]) -> Result<(Named<'_>, &[u8])> {
    let machine = Machine::run(pickle)?;
    let rest = machine.input.0;
    Ok((machine.finish()?, rest))
}

/// The texts of a list, and what follows the pickle.
pub(crate) fn texts(pickle: &[u8]) -> Result<(Vec<&str>, &[u8])> {
    let mut machine = Machine::run(pickle)?;
    let list = machine.memory.pop()?;
    let items = machine.memory.list_of(list).ok_or_else(|| damaged("a list of keys that is none"))?;
    let texts = items.iter().map(|value| match *value {
        Value::Text(text) => Ok(text),
        _ => Err(damaged("a key that is no text")),
    });
    Ok((texts.collect::<Result<_>>()?, machine.input.0))
}

/// What follows a pickle of anything.
pub(crate) fn skip(pickle: &[u8]) -> Result<&[u8]> {
    Machine::run(pickle).map(|machine| machine.input.0)
}

#[derive(Default)]
struct Machine<'a> {
    input: Input<'a>,
    memory: Memory<'a>,
    storages: Vec<Storage<'a>>,
    tensors: Vec<View<'a>>,
}

impl<'a> Machine<'a> {
    fn run(pickle: &'a [u8]) -> Result<Self> {
        let mut machine = Self { input: Input(pickle), ..Self::default() };
        while machine.step()? {}
        Ok(machine)
    }

    /// Follows one opcode; false after the last.
    fn step(&mut self) -> Result<bool> {
        let [opcode] = self.input.take()?;
        match opcode {
            b'.' => return Ok(false),
            0x80 => match self.input.take()? {
                [2..=5] => {}
                [protocol] => return Err(format!("its pickle is of protocol {protocol}; 2 to 5 are read")),
            },
            // The length of a frame, which only helps who reads from a stream.
            0x95 => drop(self.input.take::<8>()?),
            b'(' => self.memory.mark()?,
            b'q' => {
                let [place] = self.input.take()?;
                self.memory.remember(Some(place.into()))?;
            }
            b'r' => {
                let place = u32::from_le_bytes(self.input.take()?);
                self.memory.remember(Some(place))?;
            }
            0x94 => self.memory.remember(None)?,
            b's' | b'u' | b'a' | b'e' => self.fill(opcode)?,
            b'b' => self.build()?,
            _ => {
                let value = self.value(opcode)?;
                self.memory.push(value)?;
            }
        }
        Ok(true)
    }

    /// What an opcode puts on the stack.
    fn value(&mut self, opcode: u8) -> Result<Value<'a>> {
        match opcode {
            b'N' | 0x88 | 0x89 => Ok(Value::Plain),
            b'G' => self.input.take::<8>().map(|_| Value::Plain),
            b'J' => Ok(Value::Int(i32::from_le_bytes(self.input.take()?).into())),
            b'K' => Ok(Value::Int(u8::from_le_bytes(self.input.take()?).into())),
            b'M' => Ok(Value::Int(u16::from_le_bytes(self.input.take()?).into())),
            0x8a | 0x8b => self.input.long(opcode).map(Value::Int),
            b'X' | 0x8c | 0x8d => self.input.text(opcode).map(Value::Text),
            b'c' | b'i' | 0x93 => self.global(opcode),
            b')' => self.memory.container(Value::Tuple, Vec::new()),
            b']' => self.memory.container(Value::List, Vec::new()),
            b'}' => self.memory.container(Value::Dict, Vec::new()),
            b't' => {
                let items = self.memory.pop_mark()?;
                self.memory.container(Value::Tuple, items)
            }
            0x85 => self.memory.make_tuple::<1>(),
            0x86 => self.memory.make_tuple::<2>(),
            0x87 => self.memory.make_tuple::<3>(),
            b'h' => {
                let [place] = self.input.take()?;
                self.memory.recall(place.into())
            }
            b'j' => self.memory.recall(u32::from_le_bytes(self.input.take()?)),
            b'Q' => self.storage(),
            b'R' => self.call(),
            _ => Err(refused(opcode)),
        }
    }

    fn global(&mut self, opcode: u8) -> Result<Value<'a>> {
        let (module, name) = if opcode == 0x93 {
            let [Value::Text(module), Value::Text(name)] = self.memory.pop_all()? else {
                return Err(damaged("a name that is no text"));
            };
            (module, name)
        } else {
            (self.input.line()?, self.input.line()?)
        };
        let global = global(module, name)?;
        // INST names what it calls, and is refused by that name where it can be.
        if opcode == b'i' { Err(refused(opcode)) } else { Ok(Value::Global(global)) }
    }

    /// Puts one item, or those above the mark, into the dictionary or list below.
    fn fill(&mut self, opcode: u8) -> Result<()> {
        let items = match opcode {
            b's' => self.memory.pop_all::<2>()?.to_vec(),
            b'a' => vec![self.memory.pop()?],
            _ => self.memory.pop_mark()?,
        };
        self.memory.fill(&items, matches!(opcode, b's' | b'u'))
    }

    /// Takes a state away. An ordered dictionary's is `_metadata`, the versions of torch's modules.
    fn build(&mut self) -> Result<()> {
        let [object, _state] = self.memory.pop_all()?;
        if self.memory.dict_of(object).is_none() {
            return Err(damaged("a state of what has none"));
        }
        self.memory.push(object)
    }

    /// The storage that a persistent id means: `('storage', torch.FloatStorage, key, device, count)`.
    fn storage(&mut self) -> Result<Value<'a>> {
        let id = self.memory.pop()?;
        // Before torch 1.6 a storage could be said to be part of another; none that is written today is.
        let (&[
            Value::Text("storage"),
            Value::Global(Global::Storage(element)),
            Value::Text(key),
            _,
            Value::Int(count),
        ]
        | &[
            Value::Text("storage"),
            Value::Global(Global::Storage(element)),
            Value::Text(key),
            _,
            Value::Int(count),
            Value::Plain,
        ]) = self.memory.tuple_of(id)?
        else {
            return Err(damaged("a persistent id that is no storage"));
        };
        let count = u64::try_from(count).map_err(|_| damaged("a storage of negative size"))?;
        self.memory.count(1)?;
        self.storages.push(Storage { element, key, count });
        Ok(Value::Storage(self.storages.len() - 1))
    }

    fn call(&mut self) -> Result<Value<'a>> {
        let [Value::Global(called), arguments] = self.memory.pop_all()? else {
            return Err(damaged("a call of what has no name"));
        };
        match (called, self.memory.tuple_of(arguments)?) {
            (Global::OrderedDict, []) => self.memory.container(Value::Dict, Vec::new()),
            (Global::RebuildParameter, &[Value::Tensor(tensor), ..]) => Ok(Value::Tensor(tensor)),
            // What may come seventh are flags such as "negate when read", which change the numbers.
            (
                Global::RebuildTensor,
                &[Value::Storage(storage), Value::Int(offset), shape, strides, _, _]
                | &[Value::Storage(storage), Value::Int(offset), shape, strides, _, _, Value::Plain],
            ) => self.tensor(storage, offset, shape, strides),
            (called, _) => Err(unneeded(&format!("calls {called:?} with unknown arguments"))),
        }
    }

    fn tensor(&mut self, storage: usize, offset: i64, shape: Value<'a>, strides: Value<'a>) -> Result<Value<'a>> {
        let (shape, strides) = (self.sizes(shape)?, self.sizes(strides)?);
        if shape.len() != strides.len() {
            return Err(damaged("a tensor's shape and strides differ in length"));
        }
        if self.tensors.len() >= MAX_TENSORS {
            return Err(format!("it has more than {MAX_TENSORS} tensors"));
        }
        let offset = u64::try_from(offset).map_err(|_| damaged("a negative offset"))?;
        self.tensors.push(View { storage: self.storages[storage], offset, shape, strides });
        Ok(Value::Tensor(self.tensors.len() - 1))
    }

    fn sizes(&self, value: Value<'a>) -> Result<Vec<u64>> {
        let values = self.memory.tuple_of(value)?;
        if values.len() > MAX_RANK {
            return Err(format!("it has a tensor of {} dimensions", values.len()));
        }
        let size = |value: &Value<'_>| match *value {
            Value::Int(size) => u64::try_from(size).map_err(|_| damaged("a negative size")),
            _ => Err(damaged("a size that is no number")),
        };
        values.iter().map(size).collect()
    }

    fn finish(mut self) -> Result<Vec<(&'a str, View<'a>)>> {
        let whole = self.memory.pop()?;
        let Some(items) = self.memory.dict_of(whole) else {
            return Err("it holds one object and no dictionary of tensors. Save the model's state_dict".to_owned());
        };
        let (items, _) = items.as_chunks::<2>();
        let tensors = items.iter().filter_map(|item| match *item {
            [Value::Text(name), Value::Tensor(tensor)] => Some((name, self.tensors[tensor].clone())),
            _ => None,
        });
        // One tensor may be there under many names.
        let tensors: Vec<_> = tensors.take(MAX_TENSORS + 1).collect();
        if tensors.len() > MAX_TENSORS {
            return Err(format!("it has more than {MAX_TENSORS} tensors"));
        }
        if tensors.is_empty() {
            let names = items.iter().take(5).filter_map(|[name, _]| match name {
                Value::Text(name) => Some(shown(name)),
                _ => None,
            });
            let names = names.collect::<Vec<_>>().join(", ");
            return Err(format!("its dictionary ({names}) holds no tensors. Save the model's state_dict alone"));
        }
        Ok(tensors)
    }
}
