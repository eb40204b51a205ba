// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table as administrators read it: `doc/faults.md`.

use std::{net::SocketAddr, path::PathBuf};

use super::{
    Fault, Kind, Outcome, deeds,
    deeds::{DEEDS, Deed, STEPS},
    rows,
};
use crate::{header, relay::Step};
use Outcome::{Delivered, Later, LaterForOne, Never, NeverForOne, Twice};

/// Where the document is committed.
pub fn path() -> PathBuf {
    header::project().join("doc/faults.md")
}

/// The document as the table wants it.
pub fn document() -> String {
    let grid: String = DEEDS.iter().map(|deed| grid_row(*deed)).collect();
    let heads: String = STEPS.iter().map(|step| format!(" {} |", name_in_document(*step))).collect();
    let text = |faults: Vec<Fault>| faults.iter().map(row).collect::<String>();
    let refused = Deed::Reply(550).fault_at(Step::Rcpt);
    let deferred = Deed::Reply(451).fault_at(Step::Mail);
    include_str!("template.md")
        .replace("{later}", &line(&deferred))
        .replace("{never}", &line(&refused))
        .replace("{heads}", &heads)
        .replace("{rule}", &"---|".repeat(STEPS.len()))
        .replace("{grid}\n", &grid)
        .replace("{plain}\n", &text(rows::plain()))
        .replace("{tls}\n", &text(rows::with_tls()))
        .replace("{certificates}\n", &text(rows::with_certificates()))
}

fn name_in_document(step: Step) -> &'static str {
    match step {
        Step::Mail => "MAIL",
        Step::Rcpt => "RCPT",
        Step::Auth => "AUTH",
        Step::Dot => "final dot",
        _ => deeds::name_in_log(step),
    }
}

fn grid_row(deed: Deed) -> String {
    let cells: String = STEPS.iter().map(|step| format!(" {} |", deed.outcome_at(*step).name())).collect();
    let said = match deed {
        Deed::Reply(_) => "the reply".to_owned(),
        _ => format!("`{}`", deed.words()),
    };
    format!("| {} |{cells} {said} |\n", deed.name())
}

fn row(fault: &Fault) -> String {
    let log = if fault.outcome == Delivered { "nothing".to_owned() } else { format!("`{}`", line(fault)) };
    format!("| {} | {} | {log} |\n", fault.name, fault.outcome.name())
}

/// As in the log of a HAProxy whose relay is at an address for documents (RFC 5737).
fn line(fault: &Fault) -> String {
    let port = match fault.kind {
        Kind::Plain => 25,
        Kind::StartTls => 587,
        Kind::Tls => 465,
    };
    let sentence = "Server servers/server1 is DOWN, ...";
    fault.log_line(SocketAddr::from(([192, 0, 2, 1], port)), sentence, false).unwrap_or_default()
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Delivered => "delivered",
            Later => "later",
            Twice => "twice",
            Never => "never",
            NeverForOne => "never, the others at once",
            LaterForOne => "later, the others at once",
        }
    }
}
