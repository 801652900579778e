//! The stack, the memo and the containers of the machine, all with limits.

use std::collections::HashMap;

use super::input::{Result, damaged};
use super::names::Global;

/// Open marks: a tensor in a dictionary takes four.
const MAX_DEPTH: usize = 32;
/// Values on the stack: pickles put items into dictionaries by the thousand.
pub(super) const MAX_STACK: usize = 100_000;
/// Values remembered or in containers; a tensor takes some 30.
pub(super) const MAX_ITEMS: usize = 1_000_000;

/// What a pickle speaks of. Containers, storages and tensors are places in lists, so that nothing here nests or is freed in depth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    /// `None`, a bool or a float: what weights never look at.
    Plain,
    Int(i64),
    Text(&'a str),
    Global(Global),
    Tuple(usize),
    List(usize),
    /// Keys and values by turns.
    Dict(usize),
    Storage(usize),
    Tensor(usize),
}

#[derive(Default)]
pub(super) struct Memory<'a> {
    stack: Vec<Value<'a>>,
    /// Heights of the stack where a mark lies.
    marks: Vec<usize>,
    memo: HashMap<u32, Value<'a>>,
    containers: Vec<Vec<Value<'a>>>,
    items: usize,
}

impl<'a> Memory<'a> {
    pub fn push(&mut self, value: Value<'a>) -> Result<()> {
        if self.stack.len() >= MAX_STACK {
            return Err(format!("its pickle has more than {MAX_STACK} values open"));
        }
        self.stack.push(value);
        Ok(())
    }

    pub fn mark(&mut self) -> Result<()> {
        if self.marks.len() >= MAX_DEPTH {
            return Err(format!("its pickle is nested more than {MAX_DEPTH} deep"));
        }
        self.marks.push(self.stack.len());
        Ok(())
    }

    pub fn pop(&mut self) -> Result<Value<'a>> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let value = if self.stack.len() > floor { self.stack.pop() } else { None };
        value.ok_or_else(|| damaged("it takes what is not there"))
    }

    pub fn pop_all<const N: usize>(&mut self) -> Result<[Value<'a>; N]> {
        let mut values = [Value::Plain; N];
        for value in values.iter_mut().rev() {
            *value = self.pop()?;
        }
        Ok(values)
    }

    pub fn pop_mark(&mut self) -> Result<Vec<Value<'a>>> {
        let height = self.marks.pop().ok_or_else(|| damaged("it has no mark"))?;
        Ok(self.stack.split_off(height))
    }

    pub fn make_tuple<const N: usize>(&mut self) -> Result<Value<'a>> {
        let values = self.pop_all::<N>()?;
        self.container(Value::Tuple, values.to_vec())
    }

    pub fn container(&mut self, kind: fn(usize) -> Value<'a>, values: Vec<Value<'a>>) -> Result<Value<'a>> {
        self.count(1 + values.len())?;
        self.containers.push(values);
        Ok(kind(self.containers.len() - 1))
    }

    /// Counts what takes memory until the end.
    pub fn count(&mut self, items: usize) -> Result<()> {
        self.items += items;
        if self.items > MAX_ITEMS { Err(format!("its pickle has more than {MAX_ITEMS} values")) } else { Ok(()) }
    }

    /// Gives the uppermost value a number, the next one where none is given.
    pub fn remember(&mut self, place: Option<u32>) -> Result<()> {
        let place = place.unwrap_or(u32::try_from(self.memo.len()).map_err(|error| error.to_string())?);
        let value = *self.stack.last().ok_or_else(|| damaged("it remembers what is not there"))?;
        self.count(1)?;
        self.memo.insert(place, value);
        Ok(())
    }

    /// The value with a number.
    pub fn recall(&self, place: u32) -> Result<Value<'a>> {
        self.memo.get(&place).copied().ok_or_else(|| damaged("it recalls what it never saw"))
    }

    /// Adds items to the dictionary or list on top.
    pub fn fill(&mut self, items: &[Value<'a>], pairs: bool) -> Result<()> {
        let place = match self.stack.last() {
            Some(&Value::Dict(place)) if pairs && items.len().is_multiple_of(2) => place,
            Some(&Value::List(place)) if !pairs => place,
            _ => return Err(damaged("items without a container")),
        };
        self.count(items.len())?;
        self.containers[place].extend(items);
        Ok(())
    }

    /// The values of a tuple.
    pub fn tuple_of(&self, value: Value<'a>) -> Result<&[Value<'a>]> {
        let Value::Tuple(place) = value else { return Err(damaged("what must be a tuple is none")) };
        Ok(&self.containers[place])
    }

    pub fn list_of(&self, value: Value<'a>) -> Option<&[Value<'a>]> {
        if let Value::List(place) = value { Some(&self.containers[place]) } else { None }
    }

    /// The keys and values of a dictionary, by turns.
    pub fn dict_of(&self, value: Value<'a>) -> Option<&[Value<'a>]> {
        if let Value::Dict(place) = value { Some(&self.containers[place]) } else { None }
    }
}
