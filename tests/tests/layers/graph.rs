// SPDX-License-Identifier: MIT OR Apache-2.0
//! The graph of imports between sibling modules, with its upward imports and circles.

use super::imports::{Import, Sources};
use std::collections::{BTreeMap, BTreeSet};

/// The imports between the modules right below one module, which is the crate root or one with modules of its own.
pub struct Graph<'a> {
    /// From each module to those that it uses, with one import for each.
    edges: BTreeMap<String, BTreeMap<String, &'a Import>>,
    /// Bottom first, then those that are in no list.
    order: Vec<String>,
}

impl<'a> Graph<'a> {
    /// `layers` is empty if the modules have no order.
    pub fn below(parent: &[String], sources: &'a Sources, layers: &[&str]) -> Self {
        let depth = parent.len();
        let child = |path: &[String]| -> Option<String> {
            (path.len() > depth && path.starts_with(parent)).then(|| path[depth].clone())
        };
        let mut edges: BTreeMap<String, BTreeMap<String, &Import>> = BTreeMap::new();
        for module in sources.modules.keys() {
            if let Some(name) = child(module) {
                edges.entry(name).or_default();
            }
        }
        for import in &sources.imports {
            let (from, to) = (child(&sources.module_at(&import.from)), child(&sources.module_at(&import.to)));
            if let (Some(from), Some(to)) = (from, to)
                && from != to
            {
                edges.entry(from).or_default().entry(to).or_insert(import);
            }
        }
        let mut order: Vec<String> = layers.iter().map(|name| (*name).to_owned()).collect();
        order.retain(|name| edges.contains_key(name));
        let others: Vec<String> = edges.keys().filter(|name| !order.contains(name)).cloned().collect();
        order.extend(others);
        Graph { edges, order }
    }

    /// One line for each module, the top layer first: `engine -> event, settings`.
    pub fn print(&self) -> String {
        let line = |name: &String| {
            let used: Vec<&str> = self
                .order
                .iter()
                .filter(|to| self.edges[name].contains_key(*to))
                .map(String::as_str)
                .collect();
            format!(
                "  {name} -> {}\n",
                if used.is_empty() { "(nothing)".to_owned() } else { used.join(", ") }
            )
        };
        self.order.iter().rev().map(line).collect()
    }

    /// A shortest circle through each module that is in one, each circle once.
    pub fn circles(&self) -> Vec<String> {
        let mut seen = BTreeSet::new();
        let mut circles = Vec::new();
        for start in self.edges.keys() {
            let Some(circle) = self.shortest_circle(start) else { continue };
            if seen.insert(circle.iter().cloned().collect::<BTreeSet<_>>()) {
                let next = circle.iter().cycle().skip(1);
                let imports = circle.iter().zip(next).map(|(from, to)| {
                    let import = self.edges[from][to];
                    format!("\n    {}: {}", import.place, import.text)
                });
                circles.push(format!("{} -> {start}{}", circle.join(" -> "), imports.collect::<String>()));
            }
        }
        circles
    }

    /// The modules from `start` on that lead to it again.
    fn shortest_circle(&self, start: &str) -> Option<Vec<String>> {
        let mut ways = vec![vec![start.to_owned()]];
        let mut seen = BTreeSet::new();
        while !ways.is_empty() {
            let mut longer = Vec::new();
            for way in ways {
                for to in self.edges[&way[way.len() - 1]].keys() {
                    if to == start {
                        return Some(way);
                    }
                    if seen.insert(to.clone()) {
                        longer.push([&way[..], std::slice::from_ref(to)].concat());
                    }
                }
            }
            ways = longer;
        }
        None
    }
}

/// A message for each import of a higher layer.
pub fn upward_imports(sources: &Sources, layers: &[&str]) -> Vec<String> {
    let layer =
        |path: &[String]| layers.iter().position(|name| Some(*name) == path.first().map(String::as_str));
    let message = |import: &Import| {
        let (from, to) = (layer(&import.from)?, layer(&sources.module_at(&import.to))?);
        (from < to).then(|| {
            format!(
                "{}: `{}`: {} is below {} and must not use it; move what both need into {} or lower, or pass it as an argument",
                import.place, import.text, layers[from], layers[to], layers[from]
            )
        })
    };
    let mut messages: Vec<String> = sources.imports.iter().filter_map(message).collect();
    messages.dedup();
    messages
}

/// A message for each module of the crate root that is in no layer, and for each layer that is no module.
pub fn unlisted_modules(sources: &Sources, layers: &[&str]) -> Vec<String> {
    let top = sources.modules.iter().filter(|(module, _)| module.len() == 1);
    let top: BTreeMap<&str, &str> = top.map(|(module, file)| (module[0].as_str(), file.as_str())).collect();
    let unlisted = top.iter().filter(|(name, _)| !layers.contains(*name)).map(|(name, file)| {
        format!(
            "{file}:1: module {name} is in no layer; add it to the list of layers, above all that it uses"
        )
    });
    let gone = layers
        .iter()
        .filter(|name| !top.contains_key(*name))
        .map(|name| format!("layer {name} is no module of the library; remove it from the list of layers"));
    unlisted.chain(gone).collect()
}
