//! Conditions of a file: a place, and one test of what is there.

use serde_json::{Number, Value};
use toml::Spanned;

use super::diagnostic::{FileError, Source};
use super::raw::RawCondition;
use crate::workflow::{Condition, Predicate, Test};

const TESTS: &str =
    "give one of: exists, equals, not_equals, one_of, greater, at_least, less, at_most";

/// A condition on the output of the step that it names.
pub(super) fn read(source: &Source, raw: &Spanned<RawCondition>) -> Result<Condition, FileError> {
    let Some(step) = &raw.get_ref().step else {
        let message = "a condition does not say whose output it asks";
        return Err(source.error(
            raw.span(),
            message,
            "add step = the name of a step it takes from",
        ));
    };
    Ok(Condition::new(step.get_ref(), predicate(source, raw)?))
}

/// What is asked, without whom.
pub(super) fn predicate(
    source: &Source,
    raw: &Spanned<RawCondition>,
) -> Result<Predicate, FileError> {
    let fault = |(message, help): (String, &str)| source.error(raw.span(), message, help);
    let mut tests = tests(raw.get_ref()).map_err(fault)?;
    let (Some(test), true) = (tests.pop(), tests.is_empty()) else {
        let message = "a condition needs exactly one test".to_owned();
        return Err(fault((message, TESTS)));
    };
    let at = raw
        .get_ref()
        .at
        .as_ref()
        .map_or("", |at| at.get_ref().as_str());
    Ok(Predicate::new(at, test))
}

type Fault = (String, &'static str);
/// Makes a test of what it compares with.
type Make<T> = fn(T) -> Test;

fn tests(raw: &RawCondition) -> Result<Vec<Test>, Fault> {
    let mut tests = Vec::new();
    tests.extend(raw.exists.map(Test::Exists));
    let values: [(_, Make<Value>); 2] = [
        (&raw.equals, Test::Equals),
        (&raw.not_equals, Test::NotEquals),
    ];
    for (given, test) in values {
        if let Some(given) = given {
            tests.push(test(value(given)?));
        }
    }
    if let Some(given) = &raw.one_of {
        let values: Result<Vec<Value>, Fault> = given.iter().map(value).collect();
        tests.push(Test::OneOf(values?));
    }
    let limits: [(_, Make<Number>); 4] = [
        (&raw.greater, Test::Greater),
        (&raw.at_least, Test::AtLeast),
        (&raw.less, Test::Less),
        (&raw.at_most, Test::AtMost),
    ];
    for (given, test) in limits {
        if let Some(given) = given {
            tests.push(test(number(given)?));
        }
    }
    Ok(tests)
}

fn number(given: &toml::Value) -> Result<Number, Fault> {
    match value(given)? {
        Value::Number(number) => Ok(number),
        other => Err((
            format!("`{other}` is not a number"),
            "greater, at_least, less and at_most take a number",
        )),
    }
}

/// The JSON value of what JSON has too.
fn value(given: &toml::Value) -> Result<Value, Fault> {
    Ok(match given {
        toml::Value::String(text) => Value::String(text.clone()),
        toml::Value::Integer(number) => Value::Number((*number).into()),
        toml::Value::Float(number) => {
            Value::Number(Number::from_f64(*number).ok_or_else(|| {
                let message = format!("an output never holds the number `{number}`");
                (message, "give a finite number")
            })?)
        }
        toml::Value::Boolean(is) => Value::Bool(*is),
        toml::Value::Datetime(at) => {
            let message = format!("an output never holds the date `{at}`");
            return Err((message, "put it in quotes: dates are text in an output"));
        }
        toml::Value::Array(items) => {
            let items: Result<Vec<Value>, Fault> = items.iter().map(value).collect();
            Value::Array(items?)
        }
        toml::Value::Table(table) => {
            let entry = |(key, given): (&String, _)| Ok((key.clone(), value(given)?));
            let table: Result<serde_json::Map<String, Value>, Fault> =
                table.iter().map(entry).collect();
            Value::Object(table?)
        }
    })
}
