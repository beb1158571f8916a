//! What can be told of the external term format before the VM reads it.
use super::Error;

const VERSION: u8 = 131;
const ZLIB: u8 = 80;
/// zlib cannot make more than 1032 bytes of one.
const ZLIB_MAX_RATIO: u64 = 1032;
/// The version, the tag of a compressed term and its size.
const ZLIB_HEADER: usize = 6;

/// Refuses what is no term, what is over the limit, and compressed terms whose size cannot be true:
/// the VM allocates that size before it reads on.
pub fn check(content: &[u8], max: u64) -> Result<(), Error> {
    match content {
        [VERSION, ZLIB, rest @ ..] => {
            let size = rest.first_chunk().ok_or(Error::NotATerm)?;
            let size = u64::from(u32::from_be_bytes(*size));
            if size > max {
                return Err(Error::TooLarge {
                    size: Some(size),
                    max,
                });
            }
            if size > (content.len() - ZLIB_HEADER) as u64 * ZLIB_MAX_RATIO {
                return Err(Error::Corrupt(
                    "the size of the term is more than zlib can make of the data",
                ));
            }
            Ok(())
        }
        [VERSION, _, ..] if content.len() as u64 > max => Err(Error::TooLarge {
            size: Some(content.len() as u64),
            max,
        }),
        [VERSION, _, ..] => Ok(()),
        _ => Err(Error::NotATerm),
    }
}
