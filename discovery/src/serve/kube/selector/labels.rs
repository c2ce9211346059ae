//! Label selectors: `app=hello,tier in (a,b),!old,count>3`.

use crate::serve::kube::status::Status;

/// A list of requirements, all of which must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelSelector(Vec<Requirement>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    label: String,
    rule: Rule,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    Exists,
    Absent,
    In(Vec<String>),
    /// Also true for an object without the label.
    NotIn(Vec<String>),
    Above(i64),
    Below(i64),
}

impl LabelSelector {
    /// Reads the text of a selector.
    ///
    /// # Errors
    /// When it is not one.
    pub fn parse(text: &str) -> Result<Self, Status> {
        let mut words = Words::read(text);
        let mut requirements = Vec::new();
        if words.peek() == "" {
            return Ok(Self::default());
        }
        loop {
            requirements.push(Requirement::parse(&mut words).map_err(refused)?);
            match words.next().as_str() {
                "" => break,
                "," if is_name(words.peek()) || words.peek() == "!" => {}
                "," => {
                    return Err(Status::bad_request(format!(
                        "found '{}', expected: identifier after ','",
                        words.peek()
                    )));
                }
                other => {
                    return Err(refused(format!(
                        "found '{other}', expected: ',' or 'end of string'"
                    )));
                }
            }
        }
        Ok(Self(requirements))
    }

    /// One that asks for exactly these values, as a Service's selector does.
    pub fn equal<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let requirement = |(label, value): (&str, &str)| Requirement {
            label: label.to_owned(),
            rule: Rule::In(vec![value.to_owned()]),
        };
        Self(labels.into_iter().map(requirement).collect())
    }

    /// Whether every requirement holds.
    pub fn matches<'a>(&self, value: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.0
            .iter()
            .all(|requirement| requirement.holds(value(&requirement.label)))
    }

    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Requirement {
    fn parse(words: &mut Words) -> Result<Self, String> {
        let absent = words.peek() == "!";
        if absent {
            words.next();
        }
        let label = words.next();
        if !is_name(&label) {
            return Err(format!("found '{label}', expected: identifier"));
        }
        let new = |rule| {
            Ok(Self {
                label: label.clone(),
                rule,
            })
        };
        if absent {
            return new(Rule::Absent);
        }
        if matches!(words.peek(), "" | ",") {
            return new(Rule::Exists);
        }
        match words.next().as_str() {
            "=" | "==" => new(Rule::In(vec![one(words)?])),
            "!=" => new(Rule::NotIn(vec![one(words)?])),
            "in" => new(Rule::In(several(words)?)),
            "notin" => new(Rule::NotIn(several(words)?)),
            ">" => new(Rule::Above(number(words)?)),
            "<" => new(Rule::Below(number(words)?)),
            other => Err(format!(
                "found '{other}', expected: in, notin, =, ==, !=, gt, lt"
            )),
        }
    }

    fn holds(&self, value: Option<&str>) -> bool {
        let is_in = |set: &[String]| value.is_some_and(|value| set.iter().any(|v| v == value));
        let number = || value.and_then(|value| value.parse::<i64>().ok());
        match &self.rule {
            Rule::Exists => value.is_some(),
            Rule::Absent => value.is_none(),
            Rule::In(set) => is_in(set),
            Rule::NotIn(set) => !is_in(set),
            Rule::Above(limit) => number().is_some_and(|number| number > *limit),
            Rule::Below(limit) => number().is_some_and(|number| number < *limit),
        }
    }
}

/// A selector in words and signs; the last one is empty.
struct Words(Vec<String>);

impl Words {
    fn read(text: &str) -> Self {
        let mut words = Vec::new();
        let mut rest = text.trim_start();
        while let Some(sign) = rest.chars().next() {
            let length = match sign {
                ',' | '(' | ')' | '<' | '>' => 1,
                '=' | '!' if rest[1..].starts_with('=') => 2,
                '=' | '!' => 1,
                _ => rest
                    .find(|c: char| SIGNS.contains(c) || c.is_whitespace())
                    .unwrap_or(rest.len()),
            };
            words.push(rest[..length].to_owned());
            rest = rest[length..].trim_start();
        }
        words.push(String::new());
        words.reverse();
        Self(words)
    }

    fn peek(&self) -> &str {
        self.0.last().map_or("", String::as_str)
    }

    fn next(&mut self) -> String {
        self.0.pop().unwrap_or_default()
    }
}

/// A single value, which may be empty.
fn one(words: &mut Words) -> Result<String, String> {
    match words.peek() {
        "" | "," => Ok(String::new()),
        word if is_name(word) => Ok(words.next()),
        other => Err(format!("found '{other}', expected: identifier")),
    }
}

fn number(words: &mut Words) -> Result<i64, String> {
    let word = words.next();
    let wrong = |_| format!("for 'Gt', 'Lt' operators, the value must be an integer: {word}");
    word.parse().map_err(wrong)
}

fn several(words: &mut Words) -> Result<Vec<String>, String> {
    let open = words.next();
    if open != "(" {
        return Err(format!("found '{open}' expected: '('"));
    }
    let mut values = Vec::new();
    loop {
        values.push(match words.peek() {
            "," | ")" => String::new(),
            word if is_name(word) => words.next(),
            other => return Err(format!("found '{other}', expected: ',', ')' or identifier")),
        });
        match words.next().as_str() {
            "," => {}
            ")" => return Ok(values),
            other => return Err(format!("found '{other}', expected: ',' or ')'")),
        }
    }
}

fn is_name(word: &str) -> bool {
    !word.is_empty() && !word.starts_with(|c: char| SIGNS.contains(c))
}

fn refused(why: String) -> Status {
    Status::bad_request(format!("unable to parse requirement: {why}"))
}

const SIGNS: &str = ",()<>=!";

#[cfg(test)]
mod tests;
