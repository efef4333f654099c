//! `fusebox serve`: a page that shows the engines and runs of one place, and lets a person operate them.
//!
//! It has no engine of its own. What happens now it asks the engines of this place through their sockets; what happened
//! it reads in the store. `docs/serve.md` has the routes and the rules of access.

mod access;
mod actions;
mod api;
mod engines;
mod feed;
mod graph;
mod metrics;
mod page;
mod problem;
mod records;
mod resume;
mod server;
mod stream;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use axum::routing::{get, post};
use axum::{Router, middleware};
use tokio::net::TcpListener;

use self::access::Access;
use self::engines::Engines;
use self::records::Records;
use crate::args::{PlaceArgs, ServeArgs};
use crate::failure::Failure;
use crate::output;
use crate::place::Place;
use crate::signals::Signals;

/// What every request can get at.
struct App {
    place: PlaceArgs,
    access: Access,
    engines: Engines,
    records: Records,
}

/// Serves until Ctrl-C, which ends it at once: nothing here needs to be brought to an end.
pub(crate) async fn serve(args: ServeArgs) -> Result<ExitCode, Failure> {
    let mut signals = Signals::listen().map_err(|error| Failure::environment(error.into()))?;
    let access = Access::of(&args)?;
    let directory = Place::engines_in(&args.place)?;
    let listener = TcpListener::bind(args.listen).await;
    let listener = listener
        .with_context(|| {
            format!(
                "{} cannot be listened on; choose another address with --listen, port 0 for any that is free",
                args.listen
            )
        })
        .map_err(Failure::environment)?;
    let address = listener
        .local_addr()
        .map_err(|error| Failure::environment(error.into()))?;
    let app = Arc::new(App {
        records: Records::of(args.place.clone()),
        place: args.place,
        access,
        engines: Engines::of(directory),
    });
    // Before anybody can know that it is counted here.
    app.engines.open_inbox();
    // So that a store that cannot be opened is told now; the page says so too, and tries again.
    if let Err(problem) = app.records.heads(0).await {
        output::complain(&problem.to_string());
    }
    let url = format!("http://{address}");
    if args.print_address {
        output::say(&url);
    }
    output::remark(&format!("serving {url}; Ctrl-C ends it"));
    if args.open {
        open(&url);
    }
    let watching = Arc::clone(&app);
    tokio::select! {
        () = server::serve(listener, router(app)) => {}
        () = async move { watching.engines.follow().await } => {}
        () = signals.next() => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn router(app: Arc<App>) -> Router {
    page::routes()
        .route("/metrics", get(metrics::metrics))
        .route("/healthz", get(api::health))
        .route("/api/overview", get(api::overview))
        .route("/api/runs", get(api::runs))
        .route("/api/runs/{run}", get(api::run))
        .route("/api/graph/{run}", get(api::graph))
        .route("/api/events", get(stream::events))
        .route("/api/breakers/{agent}/{action}", post(actions::breaker))
        .route("/api/runs/{run}/{action}", post(actions::run))
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::wrong_method)
        .layer(middleware::from_fn_with_state(
            Arc::clone(&app),
            access::guard,
        ))
        .layer(middleware::map_response(page::with_headers))
        .with_state(app)
}

/// Shows the page in the user's browser, where that can be found.
fn open(url: &str) {
    let program = if cfg!(target_os = "macos") {
        "open"
    } else {
        "xdg-open"
    };
    let quiet = std::process::Stdio::null;
    let started = std::process::Command::new(program)
        .arg(url)
        .stdin(quiet())
        .stdout(quiet())
        .stderr(quiet())
        .spawn();
    match started {
        // Reaped by a thread of its own: some of them live as long as the browser.
        Ok(mut child) => drop(std::thread::spawn(move || child.wait())),
        Err(error) => output::remark(&format!("{program}: {error}; open {url} yourself")),
    }
}
