//! The little of JSONPath that columns of custom resources use:
//! `.spec.a.b`, `.list[0]`, `.list[*].name`, `.conditions[?(@.type=="Ready")].status`.

use serde_json::{Map, Value};

/// A path into an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonPath(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Field(String),
    Index(usize),
    All,
    Where { field: String, value: String },
}

impl JsonPath {
    /// Reads a path; none when it is more than is understood here.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut rest = text.trim().trim_start_matches('{').trim_end_matches('}');
        rest = rest.strip_prefix('$').unwrap_or(rest);
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, left) = match rest.strip_prefix('[') {
                Some(inner) => {
                    let (inner, left) = inner.split_once(']')?;
                    (bracket(inner)?, left)
                }
                None => {
                    let (name, left) = field(rest.strip_prefix('.').unwrap_or(rest));
                    (Step::Field(name), left)
                }
            };
            if step == Step::Field(String::new()) {
                return None;
            }
            steps.push(step);
            rest = left;
        }
        Some(Self(steps))
    }

    /// The first value that it leads to.
    #[must_use]
    pub fn find(&self, object: &Map<String, Value>) -> Option<Value> {
        let (first, steps) = self.0.split_first()?;
        let Step::Field(name) = first else {
            return None;
        };
        walk(object.get(name)?, steps)
    }
}

fn walk(value: &Value, steps: &[Step]) -> Option<Value> {
    let Some((step, rest)) = steps.split_first() else {
        return Some(value.clone());
    };
    match step {
        Step::Field(name) => walk(value.get(name)?, rest),
        Step::Index(at) => walk(value.get(at)?, rest),
        Step::All => value.as_array()?.iter().find_map(|one| walk(one, rest)),
        Step::Where {
            field,
            value: wanted,
        } => {
            let mut list = value.as_array()?.iter();
            let found = list.find(|one| one[field].as_str() == Some(wanted));
            walk(found?, rest)
        }
    }
}

fn bracket(inner: &str) -> Option<Step> {
    if inner == "*" {
        return Some(Step::All);
    }
    if let Ok(at) = inner.parse() {
        return Some(Step::Index(at));
    }
    let quoted = |text: &str| text.trim().trim_matches(['\'', '"']).to_owned();
    if inner.starts_with(['\'', '"']) {
        return Some(Step::Field(quoted(inner)));
    }
    let (field, value) = inner
        .strip_prefix("?(@.")?
        .strip_suffix(')')?
        .split_once("==")?;
    Some(Step::Where {
        field: field.trim().to_owned(),
        value: quoted(value),
    })
}

/// A name up to the next step; `\` keeps a dot from being one.
fn field(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut signs = text.char_indices();
    while let Some((at, sign)) = signs.next() {
        match sign {
            '.' | '[' => return (name, &text[at..]),
            '\\' => name.extend(signs.next().map(|(_, sign)| sign)),
            sign => name.push(sign),
        }
    }
    (name, "")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_find_what_they_show() {
        let object = json!({
            "spec": { "a": { "b": 7 }, "list": [{ "n": "x" }, { "n": "y" }], "a.b": "dot" },
            "status": { "conditions": [{ "type": "Ready", "status": "True" }] },
        });
        let Value::Object(object) = object else {
            panic!()
        };
        let find = |path: &str| JsonPath::parse(path).unwrap().find(&object);
        assert_eq!(find(".spec.a.b"), Some(json!(7)));
        assert_eq!(find("{.spec.list[1].n}"), Some(json!("y")));
        assert_eq!(find(".spec.list[*].n"), Some(json!("x")));
        assert_eq!(find(r".spec.a\.b"), Some(json!("dot")));
        assert_eq!(find(".spec['a.b']"), Some(json!("dot")));
        let ready = r#".status.conditions[?(@.type=="Ready")].status"#;
        assert_eq!(find(ready), Some(json!("True")));
        assert_eq!(find(".spec.none.b"), None);
        for wrong in ["..a", ".a[", ".a[?(@.b>1)]"] {
            assert_eq!(JsonPath::parse(wrong), None, "{wrong}");
        }
    }
}
