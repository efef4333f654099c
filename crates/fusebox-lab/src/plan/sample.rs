//! An answer that an agent's schema takes.

use fusebox_agent::Schema;
use serde_json::{Map, Value, json};

/// Objects in objects in objects; a schema that goes round in a circle ends here.
const DEEPEST: usize = 16;

/// What a stand-in answers, and what that is checked against: what was given, or something made up for the schema.
///
/// # Errors
/// Why the schema does not take it.
pub(super) fn answer(
    given: Option<Value>,
    schema: Option<&Value>,
) -> Result<(Value, Value), String> {
    let Some(schema) = schema else {
        let answer = given.unwrap_or_else(|| json!({ "stand_in": true }));
        // Of the answer's own type, so that a corrupted one is seen to be corrupted.
        let schema = exactly(&answer);
        return Ok((answer, schema));
    };
    let compiled = Schema::compile("output_schema", schema).map_err(|error| error.to_string())?;
    let answer = given.unwrap_or_else(|| made_up(schema, DEEPEST));
    compiled.check(&answer)?;
    Ok((answer, schema.clone()))
}

fn exactly(answer: &Value) -> Value {
    match answer {
        Value::Object(fields) => {
            json!({ "type": "object", "required": fields.keys().collect::<Vec<_>>() })
        }
        other => json!({ "const": other }),
    }
}

/// The least that the commonest schemas take. What it does not know is found when it is checked.
fn made_up(schema: &Value, depth: usize) -> Value {
    if let Some(value) = schema.get("const").or_else(|| schema.get("default")) {
        return value.clone();
    }
    let first = |list: &str| schema.get(list)?.as_array()?.first();
    if let Some(value) = first("enum").or_else(|| first("examples")) {
        return value.clone();
    }
    if let Some(one) = first("anyOf").or_else(|| first("oneOf")) {
        return made_up(one, depth.saturating_sub(1));
    }
    let kind = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.first().and_then(Value::as_str),
        Some(kind) => kind.as_str(),
        None => None,
    };
    let number = |field: &str| schema.get(field).and_then(Value::as_f64);
    match kind {
        Some("string") => {
            let length = number("minLength").unwrap_or(0.0).clamp(0.0, 1e4) as usize;
            Value::from("x".repeat(length))
        }
        Some("integer") => json!(number("minimum").unwrap_or(0.0).ceil() as i64),
        Some("number") => json!(number("minimum").unwrap_or(0.0)),
        Some("boolean") => json!(true),
        Some("null") => Value::Null,
        Some("array") => {
            let length = number("minItems").unwrap_or(0.0).clamp(0.0, 1e3) as usize;
            let item = schema.get("items").filter(|_| depth > 0);
            let item = item.map_or(Value::Null, |item| made_up(item, depth - 1));
            Value::Array(vec![item; length])
        }
        _ => object(schema, depth),
    }
}

fn object(schema: &Value, depth: usize) -> Value {
    let required = schema.get("required").and_then(Value::as_array);
    let names = required.into_iter().flatten().filter_map(Value::as_str);
    let field = |name: &str| {
        let schema = schema.get("properties").and_then(|all| all.get(name));
        let value = schema.filter(|_| depth > 0);
        let value = value.map_or(json!(0), |schema| made_up(schema, depth - 1));
        (name.to_owned(), value)
    };
    Value::Object(names.map(field).collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_made_up_that_the_schema_takes() {
        let schema = json!({ "type": "object", "required": ["name", "rows", "kind", "at"], "properties": {
            "name": { "type": "string", "minLength": 3 },
            "rows": { "type": "array", "minItems": 2, "items": { "type": "integer", "minimum": 7 } },
            "kind": { "enum": ["a", "b"] },
        }});
        let (answer, _) = answer(None, Some(&schema)).expect("an answer");
        let expected = json!({ "name": "xxx", "rows": [7, 7], "kind": "a", "at": 0 });
        assert_eq!(answer, expected);
    }

    #[test]
    fn what_cannot_be_made_up_is_asked_for_and_what_is_given_is_checked() {
        let schema = json!({ "type": "string", "pattern": "^[0-9]+$" });
        assert!(answer(None, Some(&schema)).is_err());
        assert!(answer(Some(json!("no")), Some(&schema)).is_err());
        assert!(answer(Some(json!("12")), Some(&schema)).is_ok());
    }

    #[test]
    fn without_a_schema_a_corrupted_answer_is_still_seen() {
        for given in [None, Some(json!([1, 2])), Some(json!("text"))] {
            let (answer, schema) = answer(given, None).expect("any answer");
            let schema = Schema::compile("s", &schema).expect("a schema");
            assert!(schema.check(&answer).is_ok());
            assert!(schema.check(&Value::Null).is_err());
        }
    }
}
