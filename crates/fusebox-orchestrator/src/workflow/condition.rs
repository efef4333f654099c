//! What must hold of an output: declared, not programmed.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

/// The most characters of a value that a reason repeats.
const SHOWN: usize = 80;

/// What must hold of an upstream step's output for a step to run.
///
/// It is asked once, when the step's join holds. The answer goes into the journal with the step, so a
/// resume takes the same route. A step whose condition does not hold is *not taken*: skipped, with no
/// harm to the run. Where an output of the run is not taken, the run does not owe it.
///
/// ```
/// use fusebox_orchestrator::{Condition, Predicate, Step, Test, Workflow};
/// use serde_json::json;
///
/// let urgent = Predicate::new("/severity", Test::Equals(json!("high")));
/// let workflow = Workflow::builder("tickets")
///     .step(Step::new("triage"))
///     .step(Step::new("page").requires(["triage"]).when(Condition::new("triage", urgent)))
///     .build()?;
/// # Ok::<(), fusebox_orchestrator::WorkflowError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    step: String,
    #[serde(flatten)]
    predicate: Predicate,
}

impl Condition {
    /// `predicate` holds of the output of `step`, which must be upstream.
    pub fn new(step: impl Into<String>, predicate: Predicate) -> Self {
        Self {
            step: step.into(),
            predicate,
        }
    }

    /// The step whose output is asked.
    pub fn step(&self) -> &str {
        &self.step
    }

    /// What is asked of it.
    pub fn predicate(&self) -> &Predicate {
        &self.predicate
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.step, self.predicate)
    }
}

/// A test of one place in a JSON value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Predicate {
    at: String,
    test: Test,
}

/// What is asked of a value. A place that is not there, or an output that does not exist, satisfies
/// `Exists(false)` and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Test {
    /// It is there, `null` included, or it is not.
    Exists(bool),
    /// It is this value. Numbers are compared as numbers: `1` is `1.0`.
    Equals(Value),
    /// It is there and is not this value.
    NotEquals(Value),
    /// It is one of these values.
    OneOf(Vec<Value>),
    /// It is a number above this one.
    Greater(Number),
    /// It is this number or one above.
    AtLeast(Number),
    /// It is a number below this one.
    Less(Number),
    /// It is this number or one below.
    AtMost(Number),
}

impl Predicate {
    /// `test` holds at the place that the JSON Pointer `at` names (RFC 6901: `/items/0/price`; empty:
    /// the whole value).
    pub fn new(at: impl Into<String>, test: Test) -> Self {
        Self {
            at: at.into(),
            test,
        }
    }

    /// The place, as a JSON Pointer.
    pub fn at(&self) -> &str {
        &self.at
    }

    /// What is asked there.
    pub fn test(&self) -> &Test {
        &self.test
    }

    pub(crate) fn holds(&self, value: Option<&Value>) -> bool {
        let found = value.and_then(|value| value.pointer(&self.at));
        let Some(found) = found else {
            return self.test == Test::Exists(false);
        };
        let order = |limit: &Number| match found {
            Value::Number(number) => compare(number, limit),
            _ => None,
        };
        match &self.test {
            Test::Exists(wanted) => *wanted,
            Test::Equals(wanted) => same(found, wanted),
            Test::NotEquals(other) => !same(found, other),
            Test::OneOf(wanted) => wanted.iter().any(|wanted| same(found, wanted)),
            Test::Greater(limit) => order(limit).is_some_and(Ordering::is_gt),
            Test::AtLeast(limit) => order(limit).is_some_and(Ordering::is_ge),
            Test::Less(limit) => order(limit).is_some_and(Ordering::is_lt),
            Test::AtMost(limit) => order(limit).is_some_and(Ordering::is_le),
        }
    }

    /// What was found where it was asked, for a reason.
    pub(crate) fn found(&self, value: Option<&Value>) -> String {
        match value.and_then(|value| value.pointer(&self.at)) {
            Some(found) => shown(found),
            None => "not there".to_owned(),
        }
    }
}

impl fmt::Display for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.at)?;
        match &self.test {
            Test::Exists(true) => f.write_str("exists"),
            Test::Exists(false) => f.write_str("does not exist"),
            Test::Equals(value) => write!(f, "= {}", shown(value)),
            Test::NotEquals(value) => write!(f, "≠ {}", shown(value)),
            Test::OneOf(values) => {
                let values: Vec<String> = values.iter().map(shown).collect();
                write!(f, "is one of {}", values.join(", "))
            }
            Test::Greater(limit) => write!(f, "> {limit}"),
            Test::AtLeast(limit) => write!(f, "≥ {limit}"),
            Test::Less(limit) => write!(f, "< {limit}"),
            Test::AtMost(limit) => write!(f, "≤ {limit}"),
        }
    }
}

/// Whether `text` is a JSON Pointer.
pub(crate) fn is_pointer(text: &str) -> bool {
    let escapes = |text: &str| {
        let mut rest = text.split('~').skip(1);
        rest.all(|after| after.starts_with(['0', '1']))
    };
    (text.is_empty() || text.starts_with('/')) && escapes(text)
}

/// Equal, numbers by their value, inside lists and tables too.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => compare(a, b) == Some(Ordering::Equal),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            let has = |(key, value): (&String, &Value)| b.get(key).is_some_and(|b| same(value, b));
            a.len() == b.len() && a.iter().all(has)
        }
        _ => a == b,
    }
}

/// Whole numbers exactly, others as the nearest double.
fn compare(a: &Number, b: &Number) -> Option<Ordering> {
    match (a.as_i128(), b.as_i128()) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        _ => a.as_f64()?.partial_cmp(&b.as_f64()?),
    }
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn number(value: &Value) -> Number {
        value.as_number().expect("a number").clone()
    }

    fn holds(at: &str, test: Test) -> bool {
        let value =
            json!({ "n": 3, "big": u64::MAX, "text": "high", "none": null, "list": [1, 2.0] });
        Predicate::new(at, test).holds(Some(&value))
    }

    #[test]
    fn numbers_are_compared_as_numbers_and_exactly() {
        assert!(holds("/n", Test::Equals(json!(3.0))));
        assert!(holds("/list", Test::Equals(json!([1.0, 2]))));
        let below = Number::from(u64::MAX - 1);
        assert!(holds("/big", Test::Greater(below)));
        assert!(!holds("/big", Test::Greater(Number::from(u64::MAX))));
        assert!(holds("/n", Test::AtLeast(Number::from(3))));
        assert!(holds("/n", Test::AtMost(Number::from(3))));
        assert!(!holds("/n", Test::Less(Number::from(3))));
        assert!(holds("/n", Test::Less(number(&json!(3.5)))));
    }

    #[test]
    fn text_is_no_number() {
        assert!(!holds("/text", Test::AtLeast(Number::from(0))));
        assert!(!holds("/text", Test::Less(Number::from(0))));
    }

    #[test]
    fn what_is_not_there_satisfies_only_its_absence() {
        assert!(holds("/gone", Test::Exists(false)));
        assert!(!holds("/gone", Test::Exists(true)));
        assert!(!holds("/gone", Test::Equals(Value::Null)));
        assert!(!holds("/gone", Test::NotEquals(json!(1))));
        assert!(holds("/none", Test::Exists(true)));
        assert!(holds("/none", Test::Equals(Value::Null)));
        let no_output = Predicate::new("", Test::Exists(false));
        assert!(no_output.holds(None));
    }

    #[test]
    fn one_of_several_is_enough() {
        let wanted = vec![json!("low"), json!("high")];
        assert!(holds("/text", Test::OneOf(wanted)));
        assert!(!holds("/text", Test::OneOf(vec![json!("low")])));
    }

    #[test]
    fn a_pointer_is_empty_or_begins_with_a_slash_and_escapes_are_whole() {
        for good in ["", "/", "/a/0/b", "/a~1b/m~0n"] {
            assert!(is_pointer(good), "{good}");
        }
        for bad in ["a", "a/b", "/a~", "/a~2"] {
            assert!(!is_pointer(bad), "{bad}");
        }
    }
}
