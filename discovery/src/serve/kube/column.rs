//! A column of a table, and what stands in its cells, as `kubectl get` shows them.

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

/// A column.
#[derive(Debug, Clone)]
pub struct Column {
    /// Its head.
    pub name: String,
    /// The type of its cells: `string`, `integer`, `boolean`, `date`.
    pub kind: String,
    /// The format; `name` for the column of the object's name.
    pub format: String,
    /// What it tells.
    pub description: String,
    /// 0 for always shown, more for wide tables.
    pub priority: i32,
    /// What stands in a cell.
    pub cell: Cell,
}

/// What stands in a cell.
#[derive(Debug, Clone)]
pub enum Cell {
    /// The value at a JSON pointer.
    At(&'static str),
    /// How long ago the time at a JSON pointer was.
    Age(&'static str),
    /// What this says of the object.
    Shown(fn(&Map<String, Value>, SystemTime) -> Value),
    /// What is found at a path of a custom resource.
    Found(super::jsonpath::JsonPath),
}

impl Column {
    /// A column of the object's name.
    #[must_use]
    pub fn name() -> Self {
        Self {
            format: "name".to_owned(),
            ..Self::new("Name", "string", Cell::At("/metadata/name"))
        }
    }

    /// A column of the object's age.
    #[must_use]
    pub fn age() -> Self {
        Self::new("Age", "string", Cell::Age("/metadata/creationTimestamp"))
    }

    /// A column that is always shown.
    #[must_use]
    pub fn new(name: &str, kind: &str, cell: Cell) -> Self {
        Self {
            name: name.to_owned(),
            kind: kind.to_owned(),
            format: String::new(),
            description: String::new(),
            priority: 0,
            cell,
        }
    }

    /// The same, shown in wide tables only.
    #[must_use]
    pub fn wide(self) -> Self {
        Self {
            priority: 1,
            ..self
        }
    }
}

impl Cell {
    /// What it shows of an object, in a column of this type.
    pub(super) fn of(&self, object: &Map<String, Value>, kind: &str, now: SystemTime) -> Value {
        match self {
            Self::At(pointer) => at(object, pointer).cloned().unwrap_or_default(),
            Self::Age(pointer) => {
                let time = at(object, pointer).and_then(Value::as_str);
                json!(time.map_or("<unknown>".to_owned(), |time| age(time, now)))
            }
            Self::Shown(show) => show(object, now),
            Self::Found(path) => match path.find(object) {
                Some(Value::String(time)) if kind == "date" => json!(age(&time, now)),
                found => found.unwrap_or_default(),
            },
        }
    }
}

/// The value at a JSON pointer of an object.
#[must_use]
pub fn at<'a>(object: &'a Map<String, Value>, pointer: &str) -> Option<&'a Value> {
    let mut parts = pointer.split('/').skip(1);
    let first = object.get(parts.next()?)?;
    parts.try_fold(first, |value, part| match value {
        Value::Object(map) => map.get(part),
        Value::Array(list) => list.get(part.parse::<usize>().ok()?),
        _ => None,
    })
}

/// How long ago a time was, as `kubectl` says it.
#[must_use]
pub fn age(time: &str, now: SystemTime) -> String {
    match humantime::parse_rfc3339_weak(time) {
        Ok(time) => human(now.duration_since(time).unwrap_or_default()),
        Err(_) => "<invalid>".to_owned(),
    }
}

/// A duration in at most two units, as `kubectl` says it.
#[must_use]
pub fn human(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let (days, years) = (hours / 24, hours / 24 / 365);
    let two = |big: u64, unit: &str, small: u64, part: &str| match small {
        0 => format!("{big}{unit}"),
        small => format!("{big}{unit}{small}{part}"),
    };
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 => two(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, "d", hours % 24, "h"),
        691_200..63_072_000 => format!("{days}d"),
        63_072_000..252_288_000 => two(years, "y", days % 365, "d"),
        _ => format!("{years}y"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_told_as_kubectl_tells_them() {
        for (seconds, text) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (123, "2m3s"),
            (599, "9m59s"),
            (600, "10m"),
            (10_799, "179m"),
            (10_800, "3h"),
            (11_400, "3h10m"),
            (28_800, "8h"),
            (172_799, "47h"),
            (172_800, "2d"),
            (180_000, "2d2h"),
            (691_200, "8d"),
            (63_072_000, "2y"),
            (63_244_800, "2y2d"),
            (252_288_000, "8y"),
        ] {
            assert_eq!(human(Duration::from_secs(seconds)), text);
        }
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
        assert_eq!(age("1970-01-01T00:00:40Z", now), "60s");
        assert_eq!(age("yesterday", now), "<invalid>");
    }
}
