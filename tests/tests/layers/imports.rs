// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads Rust sources: each module's paths into the crate, from `use` declarations, inline paths and macros; each `unsafe`.

use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use syn::visit::{self, Visit};

/// A module's path below the crate root: `["engine", "group"]`. The crate root is empty.
pub type Module = Vec<String>;

/// One path into the crate.
pub struct Import {
    pub from: Module,
    /// From the crate root on, with the items behind the module: `["engine", "group", "GroupState"]`.
    pub to: Vec<String>,
    /// `<file>:<line>`
    pub place: String,
    /// As in the source: `use super::group::GroupState`.
    pub text: String,
}

/// A crate's modules, imports and unsafe code.
#[derive(Default)]
pub struct Sources {
    /// Each module with its file. Inline modules are part of their file's module.
    pub modules: BTreeMap<Module, String>,
    pub imports: Vec<Import>,
    /// `<file>:<line>` of each `unsafe`.
    pub unsafe_places: Vec<String>,
}

impl Sources {
    /// Reads all of `directory`, which has a `lib.rs`. `name` replaces the directory in places.
    pub fn of_directory(directory: &Path, name: &str) -> Self {
        let mut files = Vec::new();
        collect(directory, "", &mut files);
        files.sort();
        let files: Vec<(&str, &str)> =
            files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        Self::of_files(name, &files)
    }

    /// `files` has paths below the directory `name`, each with its text.
    pub fn of_files(name: &str, files: &[(&str, &str)]) -> Self {
        let mut sources = Sources::default();
        for (path, text) in files {
            let place = format!("{name}/{path}");
            let file = syn::parse_file(text).unwrap_or_else(|error| panic!("{place}: {error}"));
            let tokens: TokenStream = text.parse().unwrap_or_else(|error| panic!("{place}: {error}"));
            find_unsafe(tokens, &place, &mut sources.unsafe_places);
            let module = module_of(path);
            let mut reader = Reader { place: &place, module: module.clone(), imports: &mut sources.imports };
            reader.visit_file(&file);
            sources.modules.insert(module, place);
        }
        sources.resolve_reexports();
        sources
    }

    /// The longest part of `path` that is a module: of `engine::group::GroupState`, it is `engine::group`.
    pub fn module_at(&self, path: &[String]) -> Module {
        let is_module = |length: &usize| self.modules.contains_key(&path[..*length]);
        path[..(0..=path.len()).rev().find(is_module).unwrap_or(0)].to_vec()
    }

    /// The crate root's `pub use engine::Engine` makes `crate::Engine` a path into `engine`.
    fn resolve_reexports(&mut self) {
        let of_root = self.imports.iter().filter(|import| import.from.is_empty());
        let names: BTreeMap<String, Vec<String>> =
            of_root.filter_map(|import| Some((import.to.last()?.clone(), import.to.clone()))).collect();
        for import in self.imports.iter_mut().filter(|import| !import.from.is_empty()) {
            let first = import.to.first();
            if let Some(target) = first
                .filter(|first| !self.modules.contains_key(&vec![(*first).clone()]))
                .and_then(|first| names.get(first))
            {
                import.to = target.iter().chain(&import.to[1..]).cloned().collect();
            }
        }
    }
}

fn collect(directory: &Path, prefix: &str, files: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display())) {
        let path = entry.expect("an entry").path();
        let name = format!("{prefix}{}", path.file_name().expect("a name").to_string_lossy());
        if path.is_dir() {
            collect(&path, &(name + "/"), files);
        } else if name.ends_with(".rs") {
            files.push((name, fs::read_to_string(&path).expect("UTF-8")));
        }
    }
}

/// `engine/group/mod.rs` and `engine/group.rs` are `engine::group`.
fn module_of(path: &str) -> Module {
    let path = path.strip_suffix(".rs").expect("a Rust file");
    let path = path.strip_suffix("/mod").unwrap_or(path);
    if path == "lib" { Module::new() } else { path.split('/').map(str::to_owned).collect() }
}

/// Comments are no tokens, strings are literals, and `unsafe_code` is another identifier.
fn find_unsafe(tokens: TokenStream, place: &str, found: &mut Vec<String>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => find_unsafe(group.stream(), place, found),
            TokenTree::Ident(word) if word == "unsafe" => {
                found.push(format!("{place}:{}", line_of(word.span())))
            }
            _ => (),
        }
    }
}

fn line_of(span: Span) -> usize {
    span.start().line
}

struct Reader<'a> {
    place: &'a str,
    module: Module,
    imports: &'a mut Vec<Import>,
}

impl Reader<'_> {
    /// `path` as in the source. What does not begin with `crate`, `self` or `super` is of another crate or below this module;
    /// in the crate root, it may be a module.
    fn add(&mut self, path: &[String], line: usize, keyword: &str) {
        let text = format!("{keyword}{}", path.join("::"));
        let mut to = match path[0].as_str() {
            "crate" => Module::new(),
            "self" | "super" => self.module.clone(),
            _ if self.module.is_empty() && !keyword.is_empty() => Vec::from([path[0].clone()]),
            _ => return,
        };
        let mut rest = &path[1..];
        if path[0] == "super" {
            to.pop();
        }
        while let Some(("super", others)) = rest.split_first().map(|(first, others)| (first.as_str(), others))
        {
            to.pop();
            rest = others;
        }
        to.extend(rest.iter().filter(|word| *word != "self" && *word != "*").cloned());
        let place = format!("{}:{line}", self.place);
        self.imports.push(Import { from: self.module.clone(), to, place, text });
    }

    fn add_tree(&mut self, tree: &syn::UseTree, before: &[String]) {
        let with = |word: &syn::Ident| [before, &[word.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.add_tree(&path.tree, &with(&path.ident)),
            syn::UseTree::Group(group) => group.items.iter().for_each(|item| self.add_tree(item, before)),
            syn::UseTree::Name(name) => self.add(&with(&name.ident), line_of(name.ident.span()), "use "),
            syn::UseTree::Rename(name) => self.add(&with(&name.ident), line_of(name.ident.span()), "use "),
            syn::UseTree::Glob(glob) => {
                let line = line_of(glob.star_token.spans[0]);
                self.add(&[before, &["*".to_owned()]].concat(), line, "use ");
            }
        }
    }

    /// Macros are not expanded: each `crate::...`, `self::...` and `super::...` among their words counts, in strings as well
    /// (`with = "crate::..."`) if these are nothing but a path.
    fn add_tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut n = 0;
        while n < tokens.len() {
            match &tokens[n] {
                TokenTree::Group(group) => self.add_tokens(group.stream()),
                TokenTree::Ident(first) if first == "crate" || first == "self" || first == "super" => {
                    let line = line_of(first.span());
                    let (path, group, next) = path_at(&tokens, n);
                    match group {
                        // `use crate::{a, b}` within a macro.
                        Some(group) => {
                            let text = format!("use {}::{group};", path.join("::"));
                            match syn::parse_str::<syn::ItemUse>(&text) {
                                Ok(item) => self.add_tree_at(&item.tree, &[], line),
                                Err(_) => self.add_tokens(group.parse().expect("tokens")),
                            }
                        }
                        None if path.len() > 1 => self.add(&path, line, ""),
                        None => (),
                    }
                    n = next;
                    continue;
                }
                TokenTree::Literal(literal) => {
                    let text = literal.to_string();
                    let path = text.trim_matches('"').split("::").map(str::to_owned).collect::<Vec<_>>();
                    let is_word = |word: &String| {
                        !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || c == '_')
                    };
                    if text.starts_with("\"crate::") && path.iter().all(is_word) {
                        self.add(&path, line_of(literal.span()), "");
                    }
                }
                _ => (),
            }
            n += 1;
        }
    }

    /// As [`Reader::add_tree`], for a tree that has lost its lines.
    fn add_tree_at(&mut self, tree: &syn::UseTree, before: &[String], line: usize) {
        let first = self.imports.len();
        self.add_tree(tree, before);
        for import in &mut self.imports[first..] {
            import.place = format!("{}:{line}", self.place);
        }
    }
}

/// The path that begins at `tokens[start]`, the group behind its last `::` as text, and the index of the next token.
fn path_at(tokens: &[TokenTree], start: usize) -> (Vec<String>, Option<String>, usize) {
    let is_colon = |n: usize| matches!(tokens.get(n), Some(TokenTree::Punct(mark)) if mark.as_char() == ':');
    let mut path = vec![tokens[start].to_string()];
    let mut n = start + 1;
    while is_colon(n) && is_colon(n + 1) {
        match tokens.get(n + 2) {
            Some(TokenTree::Ident(word)) => path.push(word.to_string()),
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                return (path, Some(group.to_string()), n + 3);
            }
            _ => break,
        }
        n += 3;
    }
    (path, None, n)
}

impl<'a> Visit<'a> for Reader<'_> {
    fn visit_item_mod(&mut self, item: &'a syn::ItemMod) {
        let Some((_, items)) = &item.content else { return };
        item.attrs.iter().for_each(|attribute| self.visit_attribute(attribute));
        self.module.push(item.ident.to_string());
        items.iter().for_each(|item| self.visit_item(item));
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'a syn::ItemUse) {
        if item.leading_colon.is_none() {
            self.add_tree(&item.tree, &[]);
        }
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        let words: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if path.leading_colon.is_none() && words.len() > 1 {
            self.add(&words, line_of(path.segments[0].ident.span()), "");
        }
        visit::visit_path(self, path);
    }

    /// `pub(in crate::engine)` names a module above, and imports nothing.
    fn visit_vis_restricted(&mut self, _: &'a syn::VisRestricted) {}

    fn visit_macro(&mut self, item: &'a syn::Macro) {
        self.visit_path(&item.path);
        self.add_tokens(item.tokens.clone());
    }

    /// Documentation is a value of its own, not a list, and so no code.
    fn visit_attribute(&mut self, attribute: &'a syn::Attribute) {
        if let syn::Meta::List(list) = &attribute.meta {
            self.add_tokens(list.tokens.clone());
        }
    }
}
