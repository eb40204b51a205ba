// SPDX-License-Identifier: MIT OR Apache-2.0
//! HAProxy's own mailers → `email_alert` lines, with what they replace as comments.

use crate::native::{Alerts, Configuration, Mailers, Proxy, Value};
use crate::words::Word;
use haproxy_email_alert::{directive, settings::Settings, text::visible};

/// Behind a variable is a value that only HAProxy will know. This may be a local name, a host, a port and a time.
const STAND_IN: &str = "1000";

/// The level of HAProxy's mailers if there is no `email-alert level`.
const DEFAULT_LEVEL: &str = "alert";

const USAGE: &str = "\
# Put the following into \"global\", or give it to HAProxy as one more file.
# Delete the lines that are marked \"was\".
global
";

/// The new lines, in a form that can be pasted, and how many there should be, but are not.
///
/// # Errors
///
/// Why there are none.
pub fn convert(configuration: &Configuration) -> Result<(String, usize), String> {
    let mut page = Page {
        configuration,
        told: vec![false; configuration.lines.len()],
        settings: Settings::default(),
        text: USAGE.to_owned(),
        refused: 0,
    };
    let proxies = || configuration.proxies.iter().filter(|proxy| !proxy.is_frontend);
    let (complete, incomplete): (Vec<_>, Vec<_>) = proxies()
        .filter(|proxy| !proxy.alerts.is_empty())
        .partition(|proxy| ["mailers", "from", "to"].iter().all(|word| proxy.alerts.contains_key(word)));
    if complete.is_empty() {
        let lines: Vec<&str> = configuration.lines.iter().map(|line| line.place.as_str()).collect();
        return Err(match lines.as_slice() {
            [] => "nothing to convert: there are no 'mailers' and no 'email-alert' lines".to_owned(),
            _ => format!(
                "nothing to convert: no backend has all of 'email-alert mailers', 'from' and 'to', so HAProxy ignores {}",
                lines.join(", ")
            ),
        });
    }
    let mailers = used_mailers(configuration, &complete)?;

    page.host_name(&complete);
    for group in groups(&complete) {
        page.route(&group, group.len() == proxies().count());
    }
    page.say("New mails: that a backend has lost its last server (not with \"events down,up,drain\" in the line above), and what is still");
    page.say("down after hours (not with a line \"email_alert.remind off\").");
    if page.settings.routes.is_empty() {
        return Err(format!("nothing could be converted:\n{}", page.text));
    }
    page.relays(&mailers);
    page.rest(&incomplete);
    Ok((page.text, page.refused))
}

/// The sections that the proxies use, in the order of the configuration.
fn used_mailers<'a>(
    configuration: &'a Configuration,
    proxies: &[&Proxy],
) -> Result<Vec<&'a Mailers>, String> {
    for Value { word, line } in proxies.iter().map(|proxy| &proxy.alerts["mailers"]) {
        if !configuration.mailers.iter().any(|section| section.name == *word) {
            let place = &configuration.lines[*line].place;
            return Err(format!("{place}: there is no section 'mailers {word}'"));
        }
    }
    let is_used =
        |section: &&Mailers| proxies.iter().any(|proxy| proxy.alerts["mailers"].word == section.name);
    Ok(configuration.mailers.iter().filter(is_used).collect())
}

fn level(alerts: &Alerts) -> Word {
    alerts.get("level").map_or(DEFAULT_LEVEL.into(), |value| value.word.clone())
}

/// The proxies that can share a line.
fn groups<'a>(proxies: &[&'a Proxy]) -> Vec<Vec<&'a Proxy>> {
    let what = |proxy: &Proxy| {
        let alerts = &proxy.alerts;
        (alerts["to"].word.clone(), alerts["from"].word.clone(), level(alerts))
    };
    let mut groups: Vec<Vec<&Proxy>> = Vec::new();
    for proxy in proxies {
        match groups.iter_mut().find(|group| what(group[0]) == what(proxy)) {
            Some(group) => group.push(proxy),
            None => groups.push(vec![proxy]),
        }
    }
    groups
}

/// `<address>:<port>` of HAProxy → of `email_alert.relay`.
fn place(address: &Word) -> Word {
    let Some(text) = address.fixed() else { return address.clone() };
    let families = ["ipv4@", "ipv6@", "tcp@", "tcp4@", "tcp6@"];
    let text = families.iter().find_map(|family| text.strip_prefix(family)).unwrap_or(text);
    match text.rsplit_once(':') {
        Some((host, port)) if host.contains(':') && !host.starts_with('[') => {
            format!("[{host}]:{port}").as_str().into()
        }
        _ => text.into(),
    }
}

/// The `email_alert` lines and comments to print.
struct Page<'a> {
    configuration: &'a Configuration,
    /// Which of its lines are printed.
    told: Vec<bool>,
    /// The new lines, as HAProxy will have them.
    settings: Settings,
    text: String,
    refused: usize,
}

impl Page<'_> {
    fn say(&mut self, comment: &str) {
        self.text += &format!("    # {comment}\n");
    }

    /// Prints the old lines, each once.
    fn was(&mut self, lines: impl IntoIterator<Item = usize>) {
        let mut lines: Vec<usize> = lines.into_iter().filter(|line| !self.told[*line]).collect();
        lines.sort_unstable();
        lines.dedup();
        for line in lines {
            self.told[line] = true;
            let line = &self.configuration.lines[line];
            self.say(&format!("was {}: {}", line.place, line.text));
        }
    }

    /// Returns the settings with this line added, or the library's error message.
    fn settings_with(&self, words: &[Word]) -> Result<Settings, String> {
        let mut before = "";
        let mut texts = Vec::new();
        for word in words {
            texts.push(word.with(if before == "level" { DEFAULT_LEVEL } else { STAND_IN }));
            before = word.fixed().unwrap_or_default();
        }
        let mut settings = self.settings.clone();
        directive::parse(&mut settings, &texts.iter().map(String::as_str).collect::<Vec<_>>())?;
        Ok(settings)
    }

    /// Prints a new line, or why it cannot be one.
    fn add(&mut self, words: &[Word]) {
        let line = words.iter().map(Word::to_string).collect::<Vec<_>>().join(" ");
        match self.settings_with(words) {
            Ok(settings) => {
                self.settings = settings;
                self.text += &format!("    {line}\n");
            }
            Err(why) => {
                self.refused += 1;
                self.say(&format!("NOT CONVERTED, to be done by hand: {}", visible(&why)));
                self.say(&line);
            }
        }
    }

    fn host_name(&mut self, proxies: &[&Proxy]) {
        let name = |proxy: &Proxy| proxy.alerts.get("myhostname").cloned();
        let names: Vec<Option<Value>> = proxies.iter().map(|proxy| name(proxy)).collect();
        let lines: Vec<usize> = names.iter().flatten().map(|value| value.line).collect();
        let Some(Some(first)) = names.iter().find(|name| name.is_some()) else { return };
        self.was(lines);
        if names.iter().all(|name| name.as_ref().is_some_and(|name| name.word == first.word)) {
            self.add(&["email_alert.host-name".into(), first.word.clone()]);
        } else {
            self.say(
                "There is one name for this machine now, its own. Another one: email_alert.host-name <name>",
            );
        }
        self.text += "\n";
    }

    fn route(&mut self, group: &[&Proxy], is_everything: bool) {
        let alerts = &group[0].alerts;
        let lines = group.iter().flat_map(|proxy| proxy.alerts.values()).map(|value| value.line);
        let is_default = lines.clone().all(|line| self.configuration.lines[line].in_defaults);
        self.was(lines);
        let level = level(alerts);
        match level.fixed() {
            Some("emerg") => self.say("At this level, HAProxy's mailers never sent anything."),
            Some("alert" | "crit" | "err" | "warning") => {
                let default = if alerts.contains_key("level") { "" } else { " (their default)" };
                self.say(&format!(
                    "HAProxy's mailers told at this level{default} that a server went down, not that it came back: \"level notice\" tells both."
                ));
            }
            Some("info" | "debug") => self.say("With 'option log-health-checks', HAProxy's mailers told each check; \"events down,up,drain,check\" in the line below does, too."),
            _ => {}
        }
        let mut line: Vec<Word> =
            vec!["email_alert".into(), alerts["to"].word.clone(), alerts["from"].word.clone()];
        if is_default && is_everything {
            self.say("For all backends, also those to come, as from \"defaults\".");
        } else {
            line.extend(["for".into(), Word::join(group.iter().map(|proxy| &proxy.name), ',')]);
        }
        line.extend(["level".into(), level]);
        self.add(&line);
        self.text += "\n";
    }

    fn relays(&mut self, sections: &[&Mailers]) {
        self.text += "\n";
        let mut places = Vec::new();
        for section in sections {
            self.was([section.line].into_iter().chain(section.timeout.iter().map(|time| time.line)));
            for (name, address) in &section.list {
                self.was([address.line]);
                let place = place(&address.word);
                if places.contains(&place) {
                    self.say("The same relay as above.");
                    continue;
                }
                places.push(place.clone());
                self.relay(section, name, place);
            }
        }
        if places.len() > 1 {
            self.say("HAProxy's mailers sent a copy through each mailer. Now there is one copy, through the first relay that takes it.");
        }
        if self.settings.relays.is_empty() {
            self.say("Without a relay, mails go through localhost:25, else through this machine's sendmail.");
        }
        if sections.len() > 1 {
            self.say("The relays are for all mails, whatever section they were in.");
        }
    }

    fn relay(&mut self, section: &Mailers, name: &Word, place: Word) {
        let is_taken =
            |name: &Word| self.settings.relays.iter().any(|relay| relay.name == name.with(STAND_IN));
        let name = match is_taken(name) {
            true => Word::join([&section.name, name], '.'),
            false => name.clone(),
        };
        let mut line: Vec<Word> = vec!["email_alert.relay".into(), name, place];
        line.extend(section.timeout.iter().flat_map(|time| ["timeout".into(), time.word.clone()]));
        let mut insecure = line.clone();
        insecure.insert(3, "insecure-plaintext".into());
        if self.settings_with(&line).is_err() && self.settings_with(&insecure).is_ok() {
            self.say("Unencrypted, as it was. If the relay has STARTTLS, write \"starttls\" instead of \"insecure-plaintext\".");
            line = insecure;
        }
        self.add(&line);
    }

    /// Lists the lines that were not converted.
    fn rest(&mut self, incomplete: &[&Proxy]) {
        for proxy in incomplete {
            self.say(&format!(
                "{}: HAProxy ignored its lines, which are not all of 'email-alert mailers', 'from' and 'to'.",
                proxy.name
            ));
        }
        let conditional: Vec<&str> = self
            .configuration
            .lines
            .iter()
            .filter(|line| line.is_conditional)
            .map(|line| line.place.as_str())
            .collect();
        if !conditional.is_empty() {
            self.say(&format!("Taken as if the conditions of '.if' were true: {}.", conditional.join(", ")));
        }
        if let Some(place) = self.configuration.converted.first() {
            self.say(&format!(
                "There are 'email_alert' lines already, {place}: a recipient or relay may be twice."
            ));
        }
        let rest: Vec<usize> = (0..self.told.len()).filter(|line| !self.told[*line]).collect();
        if !rest.is_empty() {
            self.text += "\n";
            self.say("Not needed any more:");
            self.was(rest);
        }
    }
}

#[cfg(test)]
mod tests;
