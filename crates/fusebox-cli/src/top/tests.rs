//! What the view shows and what the keys do, without a terminal.

use fusebox::orchestrator::control::Overview;
use fusebox::orchestrator::{Action, Event, EventKind, RunHead};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::Color;
use serde_json::json;

use super::keys::Order;
use super::model::{Act, Mode, Model, Pane};
use super::view;

const NOW: u64 = 1_700_000_000_000;
/// What acts on a terminal, or on those who read there.
const HOSTILE: &str = "x\u{1b}[2J\u{1b}]0;owned\u{7}\r\ny\u{202e}z";

fn agent(name: &str, state: &str) -> serde_json::Value {
    let is_away = state == "open";
    let current = is_away.then(|| {
        json!({ "detect_ms": 1, "isolate_ms": 0, "resume_ms": null, "verified_ms": null, "away_ms": 4_000,
            "verdict": "pending" })
    });
    json!({
        "agent": name,
        "state": state,
        "reason": (state != "closed").then_some("4 failures in a row"),
        "due_in_ms": is_away.then_some(9_000),
        "in_flight": 1,
        "waiting": 2,
        "oldest_wait_ms": null,
        "queued": 0,
        "objective": { "agent": name, "objective_ms": 60_000, "met": 0, "breached": 0, "worst_ms": 4_000,
            "total_ms": 4_000, "current": current, "last": null },
    })
}

fn overview(pid: u32, agents: &[serde_json::Value]) -> Overview {
    let overview = json!({
        "engine": { "pid": pid, "started_ms": u64::from(pid) },
        "health": { "status": "degraded", "reasons": ["breaker of agent `b` is open"], "agents": agents,
            "runs": { "live": 1, "stalled": [] } },
        "runs": [{ "run": format!("run-{pid}"), "calls": 1, "quiet_ms": 300 }],
    });
    serde_json::from_value(overview).unwrap()
}

fn head(run: &str, status: &str, reason: Option<&str>) -> RunHead {
    let head = json!({
        "format": 2, "run": run, "workflow": "flow", "fingerprint": "", "status": status, "reason": reason,
        "input": null, "created_ms": NOW, "updated_ms": NOW, "due_ms": null, "processes": 1, "events": 0,
    });
    serde_json::from_value(head).unwrap()
}

fn model() -> Model {
    let mut model = Model::new(".fusebox".into(), NOW);
    let agents = [
        agent("a", "closed"),
        agent("b", "open"),
        agent("c", "half_open"),
    ];
    model.engine(overview(11, &agents), NOW);
    model.heads(Ok(vec![
        head("done", "completed", None),
        head("lost", "failed", Some("no answer")),
    ]));
    model
}

fn drawn(model: &Model, width: u16, height: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| view::draw(frame, model)).unwrap();
    terminal.backend().buffer().clone()
}

fn text(model: &Model, width: u16, height: u16) -> String {
    let buffer = drawn(model, width, height);
    let cells: Vec<&str> = buffer.content().iter().map(|cell| cell.symbol()).collect();
    let rows = cells.chunks(usize::from(width)).map(<[&str]>::concat);
    rows.map(|row| row.trim_end().to_owned() + "\n").collect()
}

fn press(model: &mut Model, keys: &str) -> Option<Order> {
    let mut order = None;
    for c in keys.chars() {
        let code = match c {
            '\n' => KeyCode::Enter,
            '\t' => KeyCode::Tab,
            '↓' => KeyCode::Down,
            '↑' => KeyCode::Up,
            '⎋' => KeyCode::Esc,
            c => KeyCode::Char(c),
        };
        order = model.press(KeyEvent::from(code));
    }
    order
}

#[test]
fn what_is_open_comes_first_with_its_reason_and_when_it_is_due() {
    let shown = text(&model(), 120, 30);
    let open = shown.find("✗ open").expect("the open breaker");
    assert!(open < shown.find("~ half_open").unwrap() && open < shown.find("✓ closed").unwrap());
    let row = shown.lines().find(|line| line.contains("✗ open")).unwrap();
    for part in ["b", "9.0 s", "4.0 s of 60 s", "4 failures in a row"] {
        assert!(row.contains(part), "{part}: {row}");
    }
    assert!(shown.contains("~ degraded") && shown.contains("breaker of agent `b` is open"));
}

#[test]
fn what_is_due_counts_down_between_two_answers() {
    let mut model = model();
    model.now_ms = NOW + 3_000;
    let shown = text(&model, 120, 30);
    assert!(
        shown.contains("6.0 s") && shown.contains("7.0 s of 60 s"),
        "{shown}"
    );
    model.now_ms = NOW + 30_000;
    assert!(text(&model, 120, 30).contains(" now "));
}

#[test]
fn every_size_can_be_drawn_in_every_mode() {
    let act = Act::Cancel {
        run: "run".repeat(40),
    };
    let asked = Mode::Ask {
        act,
        reason: "why ".repeat(100),
    };
    let looks = [Pane::Breakers, Pane::Runs, Pane::Events].map(|pane| (Mode::Look, pane));
    let over = [Mode::Filter, Mode::Help, asked].map(|mode| (mode, Pane::Breakers));
    for (mode, pane) in looks.into_iter().chain(over) {
        let mut model = model();
        (model.mode, model.pane) = (mode, pane);
        let many: Vec<_> = (0..60)
            .map(|at| agent(&format!("agent-{at}"), "open"))
            .collect();
        model.engine(overview(12, &many), NOW);
        for width in [1, 2, 12, 39, 40, 80, 160] {
            for height in [1, 2, 3, 8, 15, 24, 50] {
                drawn(&model, width, height);
            }
        }
    }
}

#[test]
fn a_small_terminal_shows_the_table_that_is_looked_at() {
    let mut model = model();
    assert!(text(&model, 40, 10).contains("✗ open"));
    model.pane = Pane::Runs;
    let shown = text(&model, 40, 10);
    assert!(
        shown.contains("✗ failed") && !shown.contains("✗ open"),
        "{shown}"
    );
}

#[test]
fn what_agents_depend_on_is_a_row_among_their_breakers() {
    let mut model = model();
    let mut engine = serde_json::to_value(overview(12, &[agent("search", "closed")])).unwrap();
    engine["health"]["dependencies"] = json!([{ "dependency": "mcp.files", "state": "open",
        "reason": "the program ended", "due_in_ms": 5_000, "in_flight": 0 }]);
    model.engine(serde_json::from_value(engine).unwrap(), NOW);
    let shown = text(&model, 120, 30);
    let row = shown.lines().find(|line| line.contains("mcp.files"));
    assert!(
        row.is_some_and(|row| row.contains("open") && row.contains("the program ended")),
        "{shown}"
    );
}

#[test]
fn nothing_that_agents_say_acts_on_the_terminal() {
    let mut model = model();
    model.engine(overview(13, &[agent(HOSTILE, HOSTILE)]), NOW);
    model.heads(Ok(vec![head(HOSTILE, "failed", Some(HOSTILE))]));
    let kind = EventKind::StepProgress {
        step: HOSTILE.into(),
        message: HOSTILE.into(),
    };
    let event = json!({ "run": HOSTILE, "kind": kind });
    model.event(13, serde_json::from_value::<Event>(event).unwrap(), NOW);
    model.done(Err(HOSTILE.into()));
    let buffer = drawn(&model, 160, 50);
    let acts = |c: char| c.is_control() || c == '\u{202e}';
    let acting: Vec<_> = buffer
        .content()
        .iter()
        .filter(|cell| cell.symbol().contains(acts))
        .collect();
    assert!(acting.is_empty(), "{acting:?}");
    assert!(text(&model, 160, 50).contains("owned"));
}

#[test]
fn without_colour_everything_is_still_said() {
    let mut model = model();
    let coloured = |model: &Model| {
        let buffer = drawn(model, 100, 30);
        buffer
            .content()
            .iter()
            .any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset)
    };
    assert!(coloured(&model));
    let with = text(&model, 100, 30);
    model.colour = false;
    assert!(!coloured(&model));
    assert_eq!(text(&model, 100, 30), with);
}

#[test]
fn the_selection_stays_with_its_breaker() {
    let mut model = model();
    press(&mut model, "↓");
    assert_eq!(model.selected_agent().as_deref(), Some("c"));
    // It closes, and so stands last; others come.
    let agents = [agent("a", "open"), agent("b", "open"), agent("c", "closed")];
    model.engine(overview(11, &agents), NOW);
    assert_eq!(model.selected_agent().as_deref(), Some("c"));
    press(&mut model, "↑");
    assert_eq!(model.selected_agent().as_deref(), Some("b"));
}

#[test]
fn nothing_is_done_without_a_reason() {
    let mut model = model();
    assert_eq!(press(&mut model, "f\n"), None);
    assert!(matches!(model.mode, Mode::Ask { .. }));
    assert_eq!(press(&mut model, "   \n"), None);
    let act = Act::Operate {
        agent: "b".into(),
        action: Action::ForceOpen,
        for_ms: None,
    };
    assert_eq!(
        press(&mut model, "why\n"),
        Some(Order::Act(act, "why".into()))
    );
    assert_eq!(model.mode, Mode::Look);
}

#[test]
fn every_action_has_its_key() {
    for (key, action) in [
        ("t", Action::Trip),
        ("f", Action::ForceOpen),
        ("d", Action::Disable),
        ("m", Action::MetricsOnly),
        ("r", Action::Release),
    ] {
        let act = Act::Operate {
            agent: "b".into(),
            action,
            for_ms: None,
        };
        let order = press(&mut model(), &format!("{key}x\n"));
        assert_eq!(order, Some(Order::Act(act, "x".into())));
    }
    let act = Act::Cancel {
        run: "run-11".into(),
    };
    assert_eq!(
        press(&mut model(), "\tcx\n"),
        Some(Order::Act(act, "x".into()))
    );
}

#[test]
fn an_override_holds_for_the_time_that_is_chosen_and_nothing_else_has_one() {
    let lasts = |keys: &str| match press(&mut model(), keys) {
        Some(Order::Act(Act::Operate { for_ms, .. }, _)) => for_ms,
        other => panic!("{other:?}"),
    };
    assert_eq!(lasts("mwhy\n"), None);
    assert_eq!(lasts("m\twh\ty\n"), Some(15 * 60_000));
    // After the longest comes none again.
    assert_eq!(lasts("f\t\t\t\t\twhy\n"), None);
    assert_eq!(lasts("t\twhy\n"), None);
    let mut model = model();
    press(&mut model, "f\t");
    assert!(text(&model, 100, 30).contains("force b open for 5m?"));
    let back = KeyEvent::from(KeyCode::BackTab);
    model.press(back);
    model.press(back);
    assert!(text(&model, 100, 30).contains("force b open for 8h?"));
}

#[test]
fn events_that_were_missed_are_a_line_among_them() {
    let mut model = model();
    model.missed(11, 12, NOW);
    assert!(text(&model, 100, 30).contains("12 events missed"));
}

#[test]
fn an_action_needs_the_table_it_belongs_to() {
    let mut model = model();
    assert_eq!(press(&mut model, "\tt"), None);
    assert_eq!(model.mode, Mode::Look);
    assert!(matches!(&model.notice, Some(Err(why)) if why.contains("select a breaker")));
    let mut nobody = Model::new(".fusebox".into(), NOW);
    press(&mut nobody, "t");
    assert_eq!(nobody.mode, Mode::Look);
}

#[test]
fn a_question_is_left_by_escape_and_the_view_by_q_and_ctrl_c() {
    let mut model = model();
    press(&mut model, "tq⎋");
    assert_eq!(model.mode, Mode::Look);
    assert_eq!(press(&mut model, "q"), Some(Order::Quit));
    press(&mut model, "t");
    let ctrl_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(model.press(ctrl_c), Some(Order::Quit));
}

#[test]
fn a_filter_shows_only_what_has_the_text() {
    let mut model = model();
    press(&mut model, "/half\n");
    let shown = text(&model, 100, 30);
    assert!(
        shown.contains("breakers 1 of 3") && !shown.contains("✗ open"),
        "{shown}"
    );
    press(&mut model, "⎋");
    assert!(text(&model, 100, 30).contains("✗ open"));
}

#[test]
fn an_engine_that_goes_takes_its_breakers_along() {
    let mut model = model();
    let engine = overview(11, &[]).engine;
    model.gone(&engine);
    let shown = text(&model, 100, 30);
    assert!(
        shown.contains("no engine") && shown.contains("breakers 0"),
        "{shown}"
    );
    // Its run is not in the store, those that are stay.
    assert!(!shown.contains("run-11") && shown.contains("✓ completed"));
}

#[test]
fn a_store_that_cannot_be_read_is_told_and_what_was_known_stays() {
    let mut model = model();
    model.heads(Err("the state store could not be read".into()));
    let shown = text(&model, 100, 30);
    assert!(
        shown.contains("the runs cannot be read: the state store"),
        "{shown}"
    );
    assert!(shown.contains("✓ completed"));
}
