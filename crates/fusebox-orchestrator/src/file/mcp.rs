//! Tools of Model Context Protocol servers.

use std::collections::BTreeMap;
use std::ops::Range;

use fusebox_breaker::Config;
use serde_json::Value;

use super::agent::to_json;
use super::diagnostic::{FileError, Source, suggestion};
use super::endpoint::{SecretHeader, UrlSpec, url, variable};
use super::raw::{RawAgent, RawFile, RawMcpServer};
use super::rules::Rules;

/// A tool of a server.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct McpSpec {
    /// The server; equal ones are one, and share its connection.
    pub server: McpServerSpec,
    /// The rules of the server's breaker, which all its tools share; `None` if each is charged for the server, too.
    pub breaker: Option<Config>,
    /// The tool, as the server knows it.
    pub tool: String,
    /// Its arguments, with places for parts of the input.
    pub arguments: Value,
}

/// A server as a file defines it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct McpServerSpec {
    /// Its name, unique in the file.
    pub name: String,
    /// How it is reached.
    pub reach: McpReach,
}

/// How a server is reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum McpReach {
    /// It is a program. Placeholders stand for the run's inputs, as in a command agent's.
    Program {
        /// The program, looked for on `PATH` unless it holds a `/`.
        program: String,
        /// Its arguments.
        args: Vec<String>,
        /// Its working directory, relative to the file. Defaults to the file's directory.
        dir: Option<String>,
        /// Environment variables it gets beside its parent's.
        env: BTreeMap<String, String>,
    },
    /// It is a service, over streamable HTTP.
    Http {
        /// Where it is.
        url: UrlSpec,
        /// The environment variable with the token for `Authorization: Bearer`.
        bearer_env: Option<String>,
        /// Headers whose values are in environment variables.
        secret_headers: Vec<SecretHeader>,
    },
}

/// The agent that an agent's table is, given the tables of all servers.
pub(super) fn agent(
    source: &Source,
    file: &RawFile,
    raw: &RawAgent,
    span: &Range<usize>,
) -> Result<McpSpec, FileError> {
    let help = "name a table of the file, such as server = \"orders\" for [mcp.orders]";
    let Some(wanted) = &raw.server else {
        return Err(source.error(span.clone(), "this mcp agent has no `server`", help));
    };
    let mut servers = file.mcp.iter();
    let known = servers.find(|(name, _)| name.get_ref() == wanted.get_ref());
    let Some((name, server)) = known else {
        let message = format!("server `{}` is not defined", wanted.get_ref());
        let known = file.mcp.keys().map(|name| name.get_ref().as_str());
        let help = suggestion("servers", wanted.get_ref(), known);
        return Err(source.error(wanted.span(), message, help));
    };
    let help = "name it as the server does, such as tool = \"search\"";
    let tool = raw.tool.as_ref().filter(|tool| !tool.get_ref().is_empty());
    let Some(tool) = tool else {
        return Err(source.error(span.clone(), "this mcp agent has no `tool`", help));
    };
    let arguments = raw.arguments.as_ref().map(|table| table.get_ref());
    let arguments = arguments.into_iter().flatten();
    Ok(McpSpec {
        server: McpServerSpec {
            name: name.get_ref().clone(),
            reach: reach(source, server.get_ref(), &server.span())?,
        },
        breaker: breaker(source, server.get_ref())?,
        tool: tool.get_ref().clone(),
        arguments: arguments
            .map(|(name, value)| (name.clone(), to_json(value)))
            .collect(),
    })
}

/// Finds what is wrong with servers, those included that no agent names.
pub(super) fn check(source: &Source, file: &RawFile, errors: &mut Vec<FileError>) {
    for (name, server) in &file.mcp {
        let named = |agent: &RawAgent| {
            let server = agent.server.as_ref();
            server.is_some_and(|server| server.get_ref() == name.get_ref())
        };
        // Told once: an agent that names it tells it, too.
        if !file.agents.values().any(|agent| named(agent.get_ref())) {
            errors.extend(reach(source, server.get_ref(), &server.span()).err());
            errors.extend(breaker(source, server.get_ref()).err());
        }
    }
}

fn breaker(source: &Source, raw: &RawMcpServer) -> Result<Option<Config>, FileError> {
    let rules = raw.breaker.as_ref();
    let config = rules.map(|raw| Rules::from(raw.get_ref()).breaker(source, &raw.span()));
    config.transpose()
}

fn reach(source: &Source, raw: &RawMcpServer, span: &Range<usize>) -> Result<McpReach, FileError> {
    let address = url(source, raw.url.as_ref(), raw.url_env.as_ref())?;
    match (&raw.command, address) {
        (Some(command), None) => {
            let help = "write it as a list, such as command = [\"orders-mcp\", \"--read-only\"]";
            let [program, args @ ..] = command.get_ref().as_slice() else {
                return Err(source.error(command.span(), "the command is empty", help));
            };
            if let Some(bearer) = &raw.bearer_env {
                let help = "give a program its secrets by the environment that it inherits";
                let message = "a server that is a program has no `bearer_env`";
                return Err(source.error(bearer.span(), message, help));
            }
            Ok(McpReach::Program {
                program: program.clone(),
                args: args.to_vec(),
                dir: raw.dir.as_ref().map(|dir| dir.get_ref().clone()),
                env: raw.env.clone().unwrap_or_default(),
            })
        }
        (None, Some(url)) => {
            let mut secret_headers = Vec::new();
            for (name, env) in raw.headers_env.iter().flatten() {
                let env = variable(source, Some(env))?.expect("it was given");
                secret_headers.push(SecretHeader {
                    name: name.clone(),
                    env,
                });
            }
            Ok(McpReach::Http {
                url,
                bearer_env: variable(source, raw.bearer_env.as_ref())?,
                secret_headers,
            })
        }
        (Some(command), Some(_)) => {
            let message = "a server is a program or a service, not both";
            Err(source.error(command.span(), message, "leave out `command` or `url`"))
        }
        (None, None) => {
            let message = "this server has no `command` and no `url`";
            let help = "give its program, command = [\"orders-mcp\"], or its url";
            Err(source.error(span.clone(), message, help))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::{AgentKind, WorkflowFile};
    use fusebox_breaker::presets;

    /// A file whose only agent and only server have these lines.
    fn file(agent: &str, server: &str) -> String {
        format!(
            "[workflow]\nname = \"w\"\n[mcp.s]\n{server}\n[agents.a]\nkind = \"mcp\"\n{agent}\n[[step]]\nname = \"a\"\n"
        )
    }

    fn spec(agent: &str, server: &str) -> McpSpec {
        let file = WorkflowFile::parse("f.toml", &file(agent, server)).expect("a good file");
        match &file.agents["a"].kind {
            AgentKind::Mcp(spec) => spec.clone(),
            other => panic!("another kind: {other:?}"),
        }
    }

    const USED: &str = "server = \"s\"\ntool = \"t\"";

    #[test]
    fn a_server_is_a_program_or_a_service() {
        let program = spec(
            USED,
            "command = [\"p\", \"-x\"]\nenv = { A = \"b\" }\ndir = \"d\"",
        );
        assert_eq!((program.tool.as_str(), &*program.server.name), ("t", "s"));
        assert_eq!(program.arguments, serde_json::json!({}));
        let expected = McpReach::Program {
            program: "p".into(),
            args: vec!["-x".into()],
            dir: Some("d".into()),
            env: [("A".to_owned(), "b".to_owned())].into(),
        };
        assert_eq!(program.server.reach, expected);

        let agent = format!("{USED}\narguments = {{ id = \"{{/input/id}}\", n = 1 }}");
        let service = spec(
            &agent,
            "url = \"https://host/mcp\"\nbearer_env = \"T\"\nheaders_env = { x = \"K\" }",
        );
        assert_eq!(
            service.arguments,
            serde_json::json!({"id": "{/input/id}", "n": 1})
        );
        let expected = McpReach::Http {
            url: UrlSpec::Given("https://host/mcp".into()),
            bearer_env: Some("T".into()),
            secret_headers: vec![SecretHeader {
                name: "x".into(),
                env: "K".into(),
            }],
        };
        assert_eq!(service.server.reach, expected);
    }

    #[test]
    fn each_fault_is_told_with_what_would_be_right() {
        for (agent, server, said) in [
            (
                "tool = \"t\"",
                "command = [\"p\"]",
                "this mcp agent has no `server`",
            ),
            (
                "server = \"s\"",
                "command = [\"p\"]",
                "this mcp agent has no `tool`",
            ),
            (
                "server = \"ss\"\ntool = \"t\"",
                "command = [\"p\"]",
                "server `ss` is not defined",
            ),
            (
                USED,
                "env = {}",
                "this server has no `command` and no `url`",
            ),
            (USED, "command = []", "the command is empty"),
            (USED, "command = [\"p\"]\nurl = \"https://h\"", "not both"),
            (
                USED,
                "command = [\"p\"]\nbearer_env = \"T\"",
                "has no `bearer_env`",
            ),
            (
                USED,
                "url = \"https://h\"\nbearer_env = \"sk-1\"",
                "not the name of an environment",
            ),
            (
                USED,
                "command = [\"p\"]\nbreaker = { preset = \"agnt\" }",
                "preset `agnt` does not exist",
            ),
            (
                USED,
                "command = [\"p\"]\nbreaker = { consecutive_failures = 0 }",
                "`consecutive_failures` is 0",
            ),
            (
                USED,
                "command = [\"p\"]\nbreaker = { max_attempts = 2 }",
                "unknown field `max_attempts`",
            ),
            (
                USED,
                "url = \"ftp://h\"",
                "this is no URL of an HTTP service",
            ),
        ] {
            let errors = WorkflowFile::parse("f.toml", &file(agent, server)).expect_err(said);
            assert_eq!(errors.errors().len(), 1, "{errors}");
            assert!(errors.to_string().contains(said), "{errors}");
            assert!(!errors.to_string().contains("sk-1"), "{errors}");
        }
    }

    #[test]
    fn a_server_has_a_breaker_if_its_table_says_so() {
        let plain = spec(USED, "command = [\"p\"]");
        assert_eq!(plain.breaker, None);
        let server =
            "command = [\"p\"]\nbreaker = { preset = \"external_api\", consecutive_failures = 9 }";
        let config = spec(USED, server).breaker.expect("it was given");
        let mut preset = presets::EXTERNAL_API;
        preset.consecutive_failures = 9;
        assert_eq!(Some(config), preset.config().ok());
    }

    #[test]
    fn a_server_that_nobody_names_is_looked_at_too() {
        let text = file(USED, "command = [\"p\"]") + "[mcp.other]\nurl = \"x\"\n";
        let errors = WorkflowFile::parse("f.toml", &text).expect_err("no url");
        assert!(errors.to_string().contains("this is no URL"), "{errors}");
    }

    #[test]
    fn fields_of_another_kind_are_refused() {
        let agent = format!("{USED}\nurl = \"https://h\"");
        let text = file(&agent, "command = [\"p\"]");
        let errors = WorkflowFile::parse("f.toml", &text).expect_err("its server has it");
        assert!(
            errors.to_string().contains("an mcp agent has no `url`"),
            "{errors}"
        );
    }
}
