//! Reads a TLS ClientHello from the first bytes of a stream, without touching a socket.
//!
//! The bytes may end anywhere: [`read`] is called again with a longer prefix of the same
//! stream, and says how long that must be at least. A verdict never changes when more
//! bytes follow. Records and handshake are those of RFC 8446 (sections 4.1.2 and 5.1),
//! server names RFC 6066 (section 3), protocols RFC 7301. Nothing here decides where a
//! connection goes, and nothing is ever decrypted.

/// What a ClientHello says about the wanted server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientHello<'a> {
    /// The name sent in `server_name`: 1 to 255 printable ASCII bytes, as sent.
    pub sni: Option<&'a str>,
    /// The protocols offered in ALPN, in the client's order.
    pub alpn: Protocols<'a>,
}

/// The body of an ALPN list that was checked to be well-formed; empty when not offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Protocols<'a>(pub(crate) &'a [u8]);

/// How far a prefix goes.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress<'a> {
    /// Not whole before the prefix has this many bytes; only a refusal could show earlier.
    More {
        /// A lower bound, above the prefix's length.
        at_least: usize,
    },
    /// The whole ClientHello.
    Whole(ClientHello<'a>),
}

/// Why the bytes are no ClientHello that can be routed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The first bytes are no TLS handshake record.
    #[error("not a TLS handshake record")]
    NotTls,
    /// Longer than the limit.
    #[error("longer than the limit")]
    TooLong,
    /// A rule of the named part is broken.
    #[error("malformed: {0}")]
    Malformed(&'static str),
}

/// Reads the ClientHello at the start of `prefix`. `joined` is scratch space that
/// holds the message, which may be spread over several records. `limit` bounds the bytes of the
/// stream up to the end of the message, record headers included.
///
/// # Errors
/// [`Refusal`], as soon as the bytes at hand show it.
pub fn read<'a>(
    prefix: &'a [u8],
    joined: &'a mut Vec<u8>,
    limit: usize,
) -> Result<Progress<'a>, Refusal> {
    joined.clear();
    let mut at = 0;
    loop {
        let body_at = at + RECORD_HEADER;
        if body_at > limit {
            return Err(Refusal::TooLong);
        }
        let Some(record) = Record::at(prefix, at)? else {
            return Ok(Progress::More { at_least: body_at });
        };
        let before = joined.len();
        joined.extend_from_slice(record.body);
        let length = message_length(joined)?;
        let wanted = length.unwrap_or(HANDSHAKE_HEADER) - before;
        if body_at + wanted > limit {
            return Err(Refusal::TooLong);
        }
        if let Some(length) = length.filter(|&length| joined.len() >= length) {
            return hello(&joined[HANDSHAKE_HEADER..length]).map(Progress::Whole);
        }
        if record.body.len() < record.length {
            let at_least = body_at + wanted.min(record.length);
            return Ok(Progress::More { at_least });
        }
        at = body_at + record.length;
    }
}

impl<'a> Protocols<'a> {
    /// Each protocol's name.
    pub fn iter(self) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = Cursor(self.0);
        std::iter::from_fn(move || rest.vector(1))
    }
}

/// One TLS record: what is at hand of its body, and the length that its header gives.
struct Record<'a> {
    body: &'a [u8],
    length: usize,
}

impl<'a> Record<'a> {
    /// The record that begins at `at`; none while its header is not whole.
    fn at(prefix: &'a [u8], at: usize) -> Result<Option<Self>, Refusal> {
        let rest = prefix.get(at..).unwrap_or_default();
        let wrong = if at == 0 {
            Refusal::NotTls
        } else {
            Refusal::Malformed("another record within the handshake message")
        };
        if rest.first().is_some_and(|&kind| kind != HANDSHAKE_RECORD) {
            return Err(wrong);
        }
        if rest.get(1).is_some_and(|&major| major != 3) {
            return Err(wrong);
        }
        let [_, _, _, high, low, body @ ..] = rest else {
            return Ok(None);
        };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if length == 0 || length > MAX_FRAGMENT {
            return Err(Refusal::Malformed("a record's length"));
        }
        let body = &body[..body.len().min(length)];
        Ok(Some(Self { body, length }))
    }
}

/// The length of the handshake message with its header, once that is at hand.
fn message_length(message: &[u8]) -> Result<Option<usize>, Refusal> {
    if message.first().is_some_and(|&kind| kind != CLIENT_HELLO) {
        return Err(Refusal::Malformed("the first message is no ClientHello"));
    }
    let [_, a, b, c, ..] = message else {
        return Ok(None);
    };
    let body = u32::from_be_bytes([0, *a, *b, *c]);
    Ok(Some(HANDSHAKE_HEADER + body as usize))
}

/// Reads a whole ClientHello's body.
fn hello(body: &[u8]) -> Result<ClientHello<'_>, Refusal> {
    let mut rest = Cursor(body);
    fixed_part(&mut rest).ok_or(Refusal::Malformed("the part before the extensions"))?;
    if rest.0.is_empty() {
        return Ok(ClientHello {
            sni: None,
            alpn: Protocols::default(),
        });
    }
    let list = rest.vector(2).filter(|_| rest.0.is_empty());
    extensions(list.ok_or(Refusal::Malformed("the length of the extensions"))?)
}

/// Version, random, session id, cipher suites and compression methods.
fn fixed_part(rest: &mut Cursor<'_>) -> Option<()> {
    rest.take(2 + 32)?;
    rest.vector(1).filter(|id| id.len() <= 32)?;
    rest.vector(2)
        .filter(|suites| !suites.is_empty() && suites.len() % 2 == 0)?;
    rest.vector(1).filter(|methods| !methods.is_empty())?;
    Some(())
}

/// Walks the extensions in whatever order they come; unknown ones (GREASE too) are
/// passed over, but each has to be well-formed.
fn extensions(list: &[u8]) -> Result<ClientHello<'_>, Refusal> {
    let (mut sni, mut alpn) = (None, None);
    let mut rest = Cursor(list);
    while !rest.0.is_empty() {
        let kind = rest.number(2);
        let body = rest.vector(2);
        let (Some(kind), Some(body)) = (kind, body) else {
            return Err(Refusal::Malformed("an extension's length"));
        };
        let twice = match kind {
            SERVER_NAME => sni.replace(server_name(body)?).is_some(),
            ALPN => alpn.replace(protocols(body)?).is_some(),
            _ => false,
        };
        if twice {
            return Err(Refusal::Malformed("an extension sent twice"));
        }
    }
    Ok(ClientHello {
        sni: sni.flatten(),
        alpn: alpn.unwrap_or_default(),
    })
}

/// The one host name of a `server_name` list; names of other kinds are passed over.
fn server_name(body: &[u8]) -> Result<Option<&str>, Refusal> {
    const WRONG: Refusal = Refusal::Malformed("server_name");
    let mut outer = Cursor(body);
    let list = outer.vector(2).filter(|l| !l.is_empty()).ok_or(WRONG)?;
    if !outer.0.is_empty() {
        return Err(WRONG);
    }
    let mut host = None;
    let mut rest = Cursor(list);
    while !rest.0.is_empty() {
        let kind = rest.number(1).ok_or(WRONG)?;
        let name = rest.vector(2).ok_or(WRONG)?;
        if kind == HOST_NAME && host.replace(printable(name).ok_or(WRONG)?).is_some() {
            return Err(WRONG);
        }
    }
    Ok(host)
}

fn printable(name: &[u8]) -> Option<&str> {
    let fits = (1..=MAX_NAME).contains(&name.len()) && name.iter().all(u8::is_ascii_graphic);
    std::str::from_utf8(name).ok().filter(|_| fits)
}

fn protocols(body: &[u8]) -> Result<Protocols<'_>, Refusal> {
    const WRONG: Refusal = Refusal::Malformed("ALPN");
    let mut outer = Cursor(body);
    let list = outer.vector(2).filter(|l| !l.is_empty()).ok_or(WRONG)?;
    let mut rest = Cursor(list);
    while !rest.0.is_empty() {
        rest.vector(1).filter(|p| !p.is_empty()).ok_or(WRONG)?;
    }
    if outer.0.is_empty() {
        Ok(Protocols(list))
    } else {
        Err(WRONG)
    }
}

/// Bytes still to be read; a failed read leaves no promise about what is left.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    /// A big-endian number of `width` bytes.
    fn number(&mut self, width: usize) -> Option<usize> {
        let bytes = self.take(width)?;
        Some(bytes.iter().fold(0, |n, &b| n << 8 | usize::from(b)))
    }

    /// A vector whose length stands before it in `width` bytes.
    fn vector(&mut self, width: usize) -> Option<&'a [u8]> {
        let length = self.number(width)?;
        self.take(length)
    }
}

const RECORD_HEADER: usize = 5;
const HANDSHAKE_HEADER: usize = 4;
const HANDSHAKE_RECORD: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const MAX_FRAGMENT: usize = 1 << 14;
pub(super) const MAX_NAME: usize = 255;
const SERVER_NAME: usize = 0;
const HOST_NAME: usize = 0;
const ALPN: usize = 16;

#[cfg(test)]
pub(crate) mod tests;
