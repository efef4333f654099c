//! Makes the agents that are tools of Model Context Protocol servers.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use fusebox::endpoints::{McpHttp, McpServer, McpStdio, McpTool, McpTransport, Secret};
use fusebox::orchestrator::file::{McpReach, McpServerSpec, McpSpec};
use serde_json::Value;

use crate::agents::fill;
use crate::endpoints;
use crate::failure::Failure;

/// The servers of a file, each with one connection for all its tools. One of the same name in
/// another directory, that of an inner workflow, is another.
#[derive(Debug, Default)]
pub(crate) struct Servers(Mutex<BTreeMap<(PathBuf, McpServerSpec), McpServer>>);

impl Servers {
    /// The agent that is a tool. `directory` is the file's, `input` the run's.
    pub(crate) fn tool(
        &self,
        name: &str,
        spec: &McpSpec,
        schema: Option<Value>,
        directory: &Path,
        input: &Value,
    ) -> Result<McpTool, Failure> {
        let mut servers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (directory.to_owned(), spec.server.clone());
        let server = match servers.get(&key) {
            Some(server) => server.clone(),
            None => {
                let made = server(name, &spec.server, directory, input)?;
                servers.entry(key).or_insert(made).clone()
            }
        };
        let tool = server
            .tool(spec.tool.as_str())
            .with_name(name)
            .with_argument_template(spec.arguments.clone());
        Ok(match schema {
            Some(schema) => tool.with_output_schema(schema),
            None => tool,
        })
    }
}

/// The texts of a server's definition that may hold placeholders.
pub(crate) fn texts(spec: &McpServerSpec) -> Vec<&String> {
    match &spec.reach {
        McpReach::Program {
            program,
            args,
            dir,
            env,
        } => {
            let texts = [program].into_iter().chain(args).chain(dir);
            texts.chain(env.values()).collect()
        }
        _ => Vec::new(),
    }
}

fn server(
    name: &str,
    spec: &McpServerSpec,
    directory: &Path,
    input: &Value,
) -> Result<McpServer, Failure> {
    let bad = |why: &dyn fmt::Display| Failure::misuse(format!("agent `{name}`: {why}"));
    let fill = |text: &str| fill(text, input).map_err(|error| bad(&error));
    let transport: McpTransport = match &spec.reach {
        McpReach::Program {
            program,
            args,
            dir,
            env,
        } => {
            let args = args.iter().map(|arg| fill(arg));
            let args = args.collect::<Result<Vec<_>, _>>()?;
            let home = match dir {
                Some(dir) => directory.join(fill(dir)?),
                None => directory.to_owned(),
            };
            let mut stdio = McpStdio::new(fill(program)?, args).with_dir(home);
            for (key, value) in env {
                stdio = stdio.with_env(key, fill(value)?);
            }
            stdio.into()
        }
        McpReach::Http {
            url,
            bearer_env,
            secret_headers,
        } => {
            let mut http = McpHttp::try_new(&endpoints::url(name, url)?).map_err(|e| bad(&e))?;
            if let Some(variable) = bearer_env {
                http = http.with_token(Secret::from_env(variable).map_err(|e| bad(&e))?);
            }
            for header in secret_headers {
                let value = Secret::from_env(&header.env).map_err(|e| bad(&e))?;
                http = http
                    .try_with_header(&header.name, value)
                    .map_err(|e| bad(&e))?;
            }
            http.into()
        }
        _ => return Err(bad(&"its server is of a kind this program does not know")),
    };
    Ok(McpServer::new(spec.name.as_str(), transport))
}
