//! The literals of a pickle.

/// Bytes of a text.
const MAX_TEXT: u64 = 4096;

/// Why a pickle is refused.
pub(super) type Result<T> = std::result::Result<T, String>;

/// The refusal of a pickle that no writer of pickles made.
pub(super) fn damaged(what: &str) -> String {
    format!("its pickle is damaged ({what})")
}

/// What of a pickle is still to be read.
#[derive(Default)]
pub(super) struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    /// The next `N` bytes.
    pub fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or_else(|| damaged("it is cut off"))?;
        self.0 = rest;
        Ok(*bytes)
    }

    /// A text behind its length, whose width the opcode tells.
    pub fn text(&mut self, opcode: u8) -> Result<&'a str> {
        let length = match opcode {
            0x8c => u8::from_le_bytes(self.take()?).into(),
            b'X' => u32::from_le_bytes(self.take()?).into(),
            _ => u64::from_le_bytes(self.take()?),
        };
        if length > MAX_TEXT {
            return Err(format!("its pickle has a text of {length} bytes; {MAX_TEXT} are read"));
        }
        let length = usize::try_from(length).map_err(|error| error.to_string())?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or_else(|| damaged("it is cut off"))?;
        self.0 = rest;
        std::str::from_utf8(bytes).map_err(|_| damaged("a text that is not UTF-8"))
    }

    /// A text up to the end of the line.
    pub fn line(&mut self) -> Result<&'a str> {
        let most = self.0.len().min(256);
        let end = self.0[..most].iter().position(|&byte| byte == b'\n').ok_or_else(|| damaged("a name without end"))?;
        let (bytes, rest) = self.0.split_at(end);
        self.0 = &rest[1..];
        std::str::from_utf8(bytes).map_err(|_| damaged("a name that is not UTF-8"))
    }

    /// A number of any width behind its length; no weight has one of more than eight bytes.
    pub fn long(&mut self, opcode: u8) -> Result<i64> {
        let length = match opcode {
            0x8a => u8::from_le_bytes(self.take()?).into(),
            _ => u32::from_le_bytes(self.take()?),
        };
        let mut number = 0i64;
        for place in 0..length {
            let [byte] = self.take()?;
            match place {
                0..=6 => number |= i64::from(byte) << (8 * place),
                7 => number |= i64::from(byte.cast_signed()) << 56,
                _ => return Err(format!("its pickle has a number of {length} bytes")),
            }
        }
        if (1..8).contains(&length) {
            let unused = 64 - 8 * length;
            number = number << unused >> unused;
        }
        Ok(number)
    }
}
