//! The few objects that clients send in Kubernetes' wire format: what kubectl creates from its
//! arguments, and the reviews that istiod asks for. Answers are JSON always, which such clients
//! take too.

mod schema;

use discovery::serve::kube::Status;
use k8s_openapi::ByteString;
use serde_json::{Map, Value, json};

use schema::{Field, Kind, Many, OBJECTS, UNKNOWN};

/// Reads an object, with its kind and API version.
///
/// # Errors
/// 415 for a kind that is not known here, 400 for what is no message.
pub(super) fn value(body: &[u8]) -> Result<Value, Status> {
    let wrong = || Status::bad_request("the body is no object in Kubernetes' wire format");
    let envelope = body.strip_prefix(MAGIC).ok_or_else(wrong)?;
    let envelope = Value::Object(message(envelope, UNKNOWN).ok_or_else(wrong)?);
    let text = |name: &str| {
        envelope["typeMeta"][name]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let (version, kind) = (text("apiVersion"), text("kind"));
    let fields = OBJECTS.iter().find(|(name, _)| *name == kind);
    let Some((_, fields)) = fields else {
        let why = format!("{kind} {version} is taken as JSON only");
        return Err(Status::failure(415, "UnsupportedMediaType", why));
    };
    let raw = raw(body).ok_or_else(wrong)?;
    let mut object = message(raw, fields).ok_or_else(wrong)?;
    object.insert("apiVersion".to_owned(), json!(version));
    object.insert("kind".to_owned(), json!(kind));
    Ok(Value::Object(object))
}

/// Whether a media type is this format.
pub(super) fn is(media: &str) -> bool {
    media.starts_with("application/vnd.kubernetes.protobuf")
}

/// The object inside of the envelope.
fn raw(body: &[u8]) -> Option<&[u8]> {
    let mut parts = Parts(body.strip_prefix(MAGIC)?);
    loop {
        match parts.next()? {
            (2, Part::Bytes(bytes)) => return Some(bytes),
            _ => continue,
        }
    }
}

fn message(bytes: &[u8], fields: &[Field]) -> Option<Map<String, Value>> {
    let mut object = Map::new();
    let mut parts = Parts(bytes);
    while !parts.0.is_empty() {
        let (number, part) = parts.next()?;
        let Some(field) = fields.iter().find(|field| field.number == number) else {
            continue;
        };
        match field.many {
            Many::One => {
                let value = one(&part, field.kind)?;
                // Go writes what is empty, too.
                if value != json!("") {
                    object.insert(field.name.to_owned(), value);
                }
            }
            Many::List => {
                let value = one(&part, field.kind)?;
                let list = object.entry(field.name).or_insert_with(|| json!([]));
                list.as_array_mut()?.push(value);
            }
            Many::Map => {
                let (key, value) = entry(&part, field.kind)?;
                let map = object.entry(field.name).or_insert_with(|| json!({}));
                map.as_object_mut()?.insert(key, value);
            }
        }
    }
    Some(object)
}

/// An entry of a map is a message of key and value.
fn entry(part: &Part<'_>, kind: Kind) -> Option<(String, Value)> {
    let Part::Bytes(bytes) = part else {
        return None;
    };
    let fields = [
        Field::one(1, "key", Kind::Text),
        Field::one(2, "value", kind),
    ];
    let found = message(bytes, &fields)?;
    let key = found.get("key").and_then(Value::as_str).unwrap_or_default();
    let value = found.get("value").cloned().unwrap_or_else(|| json!(""));
    Some((key.to_owned(), value))
}

fn one(part: &Part<'_>, kind: Kind) -> Option<Value> {
    Some(match (part, kind) {
        (Part::Bytes(bytes), Kind::Text) => json!(std::str::from_utf8(bytes).ok()?),
        (Part::Bytes(bytes), Kind::Bytes) => {
            serde_json::to_value(ByteString(bytes.to_vec())).ok()?
        }
        (Part::Bytes(bytes), Kind::Message(fields)) => Value::Object(message(bytes, fields)?),
        (Part::Number(number), Kind::Number) => json!(number.cast_signed()),
        (Part::Number(number), Kind::Flag) => json!(*number != 0),
        _ => return None,
    })
}

/// What is left of a message.
struct Parts<'a>(&'a [u8]);

enum Part<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Parts<'a> {
    /// The number of the next field, and its content; none at the end of what is understood.
    fn next(&mut self) -> Option<(u64, Part<'a>)> {
        let tag = self.number()?;
        let part = match tag & 7 {
            0 => Part::Number(self.number()?),
            1 => Part::Bytes(self.take(8)?),
            2 => {
                let length = usize::try_from(self.number()?).ok()?;
                Part::Bytes(self.take(length)?)
            }
            5 => Part::Bytes(self.take(4)?),
            _ => return None,
        };
        Some((tag >> 3, part))
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

/// What every such body begins with.
const MAGIC: &[u8] = b"k8s\0";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        let mut out = vec![(number << 3) | 2, u8::try_from(content.len()).unwrap()];
        out.extend_from_slice(content);
        out
    }

    fn sent(kind: &str, object: &[u8]) -> Vec<u8> {
        let named = [field(1, b"v1"), field(2, kind.as_bytes())].concat();
        [
            MAGIC,
            &field(1, &named),
            &field(2, object),
            &field(3, b""),
            &field(4, b""),
        ]
        .concat()
    }

    #[test]
    fn an_object_is_read_as_its_json_would_be() {
        let metadata = [
            field(1, b"x"),
            field(3, b""),
            field(11, &[field(1, b"a"), field(2, b"b")].concat()),
        ]
        .concat();
        let data = [field(1, b"k"), field(2, b"v")].concat();
        let object = [field(1, &metadata), field(2, &data), vec![0x20, 1]].concat();
        let read = value(&sent("ConfigMap", &object)).unwrap();
        assert_eq!(
            read,
            json!({
                "apiVersion": "v1", "kind": "ConfigMap", "immutable": true,
                "metadata": { "name": "x", "labels": { "a": "b" } }, "data": { "k": "v" },
            })
        );
        let read = value(&sent("Secret", &[field(1, b""), field(2, &data)].concat())).unwrap();
        assert_eq!(read["data"]["k"], "dg==");
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let code = |body: &[u8]| value(body).unwrap_err().code().as_u16();
        assert_eq!(code(&sent("Pod", b"")), 415);
        assert_eq!(code(b"{}"), 400);
        assert_eq!(code(&[MAGIC, &[0x0a, 0x7f]].concat()), 400);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = value(&[MAGIC, &bytes].concat());
            let _ = value(&sent("SubjectAccessReview", &bytes));
        }
    }
}
