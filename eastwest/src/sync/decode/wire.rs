//! Protobuf's fields without their meaning, so that a listener of ten thousand chains is
//! compared chain by chain and only those that changed are decoded.

use super::Unfit;

/// One field of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its number.
    pub number: u64,
    /// The bytes of a length-delimited one; empty for numbers.
    pub value: &'a [u8],
    /// Everything, with number and length.
    pub whole: &'a [u8],
}

/// The fields of a message, in order (protobuf.dev/programming-guides/encoding).
///
/// # Errors
/// [`Unfit::Undecodable`], where the bytes are no message.
pub fn fields(message: &[u8]) -> Result<Vec<Field<'_>>, Unfit> {
    let mut rest = message;
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let begin = rest;
        let key = varint(&mut rest)?;
        let value = match key & 7 {
            VARINT => varint(&mut rest).map(|_| &[][..]),
            FIXED_64 => take(&mut rest, 8).map(|_| &[][..]),
            DELIMITED => varint(&mut rest).and_then(|length| take(&mut rest, length)),
            FIXED_32 => take(&mut rest, 4).map(|_| &[][..]),
            other => Err(broken(format!("wire type {other}"))),
        }?;
        fields.push(Field {
            number: key >> 3,
            value,
            whole: &begin[..begin.len() - rest.len()],
        });
    }
    Ok(fields)
}

fn varint(rest: &mut &[u8]) -> Result<u64, Unfit> {
    let mut value = 0;
    for place in 0..10 {
        let (&byte, behind) = rest.split_first().ok_or_else(|| broken("it ends early"))?;
        *rest = behind;
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(broken("a number of more than ten bytes"))
}

fn take<'a>(rest: &mut &'a [u8], length: u64) -> Result<&'a [u8], Unfit> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let (taken, behind) = rest
        .split_at_checked(length)
        .ok_or_else(|| broken("it ends early"))?;
    *rest = behind;
    Ok(taken)
}

fn broken(why: impl Into<String>) -> Unfit {
    Unfit::Undecodable(why.into())
}

const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const DELIMITED: u64 = 2;
const FIXED_32: u64 = 5;

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::config::listener::v3::{FilterChain, Listener};
    use prost::Message;

    use super::*;

    #[test]
    fn the_fields_together_are_the_message() {
        let listener = Listener {
            name: "a".to_owned(),
            filter_chains: vec![
                FilterChain::default(),
                FilterChain {
                    name: "b".to_owned(),
                    ..Default::default()
                },
            ],
            tcp_backlog_size: Some(Default::default()),
            enable_mptcp: true,
            ..Default::default()
        };
        let bytes = listener.encode_to_vec();
        let fields = fields(&bytes).unwrap();
        let whole: Vec<u8> = fields.iter().flat_map(|f| f.whole).copied().collect();
        assert_eq!(whole, bytes);
        let chains = fields.iter().filter(|f| f.number == 3).map(|f| f.value);
        let chains: Vec<_> = chains
            .map(|c| FilterChain::decode(c).unwrap().name)
            .collect();
        assert_eq!(chains, ["", "b"]);
    }

    #[test]
    fn what_is_no_message_is_refused_and_never_read_beyond_its_end() {
        for bytes in [
            &[0x1a][..],
            &[0x1a, 5, 1],
            &[
                0x1a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1,
            ],
            &[0x0b],
            &[0x09, 1, 2],
            &[0x80; 11],
        ] {
            assert!(fields(bytes).is_err(), "{bytes:?}");
        }
    }
}
