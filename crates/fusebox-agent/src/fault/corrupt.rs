//! Mangling a reply so that its schema refuses it.

use serde_json::{Map, Value};

use crate::Description;
use crate::schema::Schema;

/// Mangles replies of one agent.
pub(super) struct Corrupter {
    schema: Option<Schema>,
    /// Fields the schema asks for, tried first: the loss of an optional field is no corruption.
    required: Vec<String>,
}

impl Corrupter {
    pub(super) fn new(agent: &Description) -> Self {
        let schema = agent.output_schema.as_ref();
        let required = schema
            .and_then(|schema| schema.get("required")?.as_array())
            .map(|names| {
                names
                    .iter()
                    .filter_map(|name| name.as_str().map(str::to_owned))
            })
            .map_or_else(Vec::new, Iterator::collect);
        Self {
            // A schema that does not compile fails every guarded call before it comes to this.
            schema: schema.and_then(|schema| Schema::compile("output schema", schema).ok()),
            required,
        }
    }

    /// A damaged copy of `output` that differs from it and that the schema refuses, if there is
    /// any such; `draw` chooses among the ways of damage.
    pub(super) fn mangle(&self, output: Value, draw: u64) -> Value {
        let mut damaged = self.candidates(&output);
        damaged.retain(|candidate| *candidate != output);
        let caught = |candidate: &&Value| {
            let schema = self.schema.as_ref();
            schema.is_some_and(|schema| schema.check(candidate).is_err())
        };
        let refused: Vec<&Value> = damaged.iter().filter(caught).collect();
        let choice = match refused.len() {
            0 => choose(&damaged.iter().collect::<Vec<_>>(), draw).cloned(),
            _ => choose(&refused, draw).cloned(),
        };
        choice.unwrap_or(Value::Null)
    }

    fn candidates(&self, output: &Value) -> Vec<Value> {
        let mut damaged = vec![
            Value::Null,
            Value::from("\u{fffd}\u{fffd}\u{fffd}"),
            Value::from(-1),
            Value::Array(vec![Value::Null]),
            Value::Object(Map::new()),
        ];
        if let Value::Object(fields) = output {
            for name in fields.keys().filter(|name| self.is_worth_breaking(name)) {
                let mut without = fields.clone();
                without.remove(name);
                damaged.push(Value::Object(without));
                let mut wrong = fields.clone();
                wrong.insert(name.clone(), other_type(&fields[name]));
                damaged.push(Value::Object(wrong));
            }
        }
        damaged
    }

    fn is_worth_breaking(&self, field: &str) -> bool {
        self.required.is_empty() || self.required.iter().any(|name| name == field)
    }
}

fn choose<'a>(from: &[&'a Value], draw: u64) -> Option<&'a Value> {
    let count = u64::try_from(from.len()).ok().filter(|&count| count > 0)?;
    let at = usize::try_from(draw % count).ok()?;
    from.get(at).copied()
}

/// A value of a type that is rarely allowed where `value` is.
fn other_type(value: &Value) -> Value {
    match value {
        Value::Array(_) | Value::Object(_) => Value::from("\u{fffd}"),
        Value::String(_) => Value::from(-1),
        _ => Value::Array(vec![value.clone()]),
    }
}

#[cfg(all(test, feature = "schema"))]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn damage_is_always_one_that_the_schema_refuses() {
        let schema = json!({
            "type": "object",
            "required": ["rows"],
            "properties": {"rows": {"type": "array"}, "note": {"type": "string"}},
        });
        let corrupter =
            Corrupter::new(&Description::new("data", "rust").with_output_schema(schema.clone()));
        let schema = Schema::compile("schema", &schema).expect("a valid schema");
        let output = json!({"rows": [1, 2], "note": "two"});
        assert_eq!(schema.check(&output), Ok(()));
        for draw in 0..100 {
            let damaged = corrupter.mangle(output.clone(), draw);
            assert!(schema.check(&damaged).is_err(), "draw {draw}: {damaged}");
        }
    }

    #[test]
    fn a_lenient_schema_still_catches_what_it_can() {
        let schema = json!({"type": ["object", "array", "string", "null"]});
        let corrupter =
            Corrupter::new(&Description::new("data", "rust").with_output_schema(schema));
        for draw in 0..20 {
            assert_eq!(corrupter.mangle(json!({}), draw), json!(-1));
        }
    }

    #[test]
    fn without_a_schema_the_reply_is_damaged_all_the_same() {
        let corrupter = Corrupter::new(&Description::new("data", "rust"));
        for draw in 0..20 {
            for output in [Value::Null, json!(-1), json!({"rows": 1})] {
                assert_ne!(corrupter.mangle(output.clone(), draw), output);
            }
        }
    }
}
