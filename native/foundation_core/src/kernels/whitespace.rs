//! The whitespace at which `String.split/1` splits, in UTF-8.
//!
//! No byte that follows the first of a sequence begins another one, so that where whitespace is can
//! be told from a few bytes around, whatever the rest is.

/// What a byte may begin.
#[derive(Clone, Copy, PartialEq)]
enum Lead {
    Other,
    Space,
    Longer,
}

static LEADS: [Lead; 256] = {
    let mut leads = [Lead::Other; 256];
    let mut at = 0x09;
    while at <= 0x0D {
        leads[at] = Lead::Space;
        at += 1;
    }
    leads[0x20] = Lead::Space;
    leads[0xC2] = Lead::Longer;
    leads[0xE1] = Lead::Longer;
    leads[0xE2] = Lead::Longer;
    leads[0xE3] = Lead::Longer;
    leads
};

/// The longest sequence.
const LONGEST: usize = 3;

/// Bytes of the whitespace that begins there, 0 where none does.
#[inline]
pub(super) fn length(text: &[u8], at: usize) -> usize {
    match LEADS[text[at] as usize] {
        Lead::Other => 0,
        Lead::Space => 1,
        Lead::Longer => longer(&text[at..]),
    }
}

/// Where the next whitespace begins in `from..to`, and its bytes; `to` and none where there is none.
#[inline]
pub(super) fn find(text: &[u8], mut from: usize, to: usize) -> (usize, usize) {
    while from < to {
        let mut leads = leads(load(text, from));
        while leads != 0 {
            let at = from + leads.trailing_zeros() as usize / 8;
            if at >= to {
                return (to, 0);
            }
            let space = length(text, at);
            if space > 0 {
                return (at, space);
            }
            leads &= leads - 1;
        }
        from += 8;
    }
    (to, 0)
}

/// Eight bytes, the first one lowest. What is behind the text is 0.
#[inline]
pub(super) fn load(text: &[u8], at: usize) -> u64 {
    match text.get(at..).and_then(|rest| rest.first_chunk()) {
        Some(bytes) => u64::from_le_bytes(*bytes),
        None => load_end(text, at),
    }
}

#[cold]
fn load_end(text: &[u8], at: usize) -> u64 {
    let rest = text.get(at..).unwrap_or(&[]);
    rest.iter()
        .rev()
        .fold(0, |bytes, byte| (bytes << 8) | u64::from(*byte))
}

/// Eight times the same byte.
const fn each(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// The highest bits of bytes.
const HIGH: u64 = each(0x80);

/// The highest bits of those of eight bytes that may begin whitespace.
#[inline]
fn leads(bytes: u64) -> u64 {
    // Without its highest bit no byte carries into the next one. What is above 0x20 carries into it.
    let spaces = !(((bytes & !HIGH) + each(0x5F)) | bytes) & HIGH;
    if bytes & HIGH == 0 {
        return spaces;
    }
    let zeros = |bytes: u64| !(((bytes & !HIGH) + each(0x7F)) | bytes) & HIGH;
    let next_line = zeros(bytes ^ each(0xC2));
    // From 0xE0 to 0xE3.
    let longer = zeros((bytes ^ each(0xE0)) & each(0xFC));
    spaces | next_line | longer
}

fn longer(text: &[u8]) -> usize {
    match text {
        // Next line.
        [0xC2, 0x85, ..] => 2,
        // Ogham space mark.
        [0xE1, 0x9A, 0x80, ..] => 3,
        // Spaces of all widths but the figure space, which does not break.
        [0xE2, 0x80, 0x80..=0x86 | 0x88..=0x8A, ..] => 3,
        // Separators of lines and paragraphs.
        [0xE2, 0x80, 0xA8 | 0xA9, ..] => 3,
        // Medium mathematical space.
        [0xE2, 0x81, 0x9F, ..] => 3,
        // Ideographic space.
        [0xE3, 0x80, 0x80, ..] => 3,
        _ => 0,
    }
}

/// Where the whitespace ends that ends at `at` or goes on over it; `None` where there is none.
pub(super) fn before(text: &[u8], at: usize) -> Option<usize> {
    (1..=LONGEST.min(at)).find_map(|back| {
        let space = length(text, at - back);
        (space >= back).then_some(at - back + space)
    })
}
