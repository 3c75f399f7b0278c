//! What a language model may have done in place of only talking: tools, as it is told of them, and the calls that it makes.
//!
//! A server is told of them in its protocol's own form. A model in this process is told their names and arguments behind its system
//! prompt, and calls one by saying a JSON object in place of words, `{"tool": "price", "of": "boky"}`, which a grammar keeps right; the
//! next message of the caller's side is what came of it. The shipped mind was trained so (`models/training/mind_tools.py`).

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    json_schema,
    language_model::{ChatMessage, Role},
    text::heard::{self, Reach},
};

/// How a call of a model in this process names its tool.
const TOOL: &str = "tool";
/// Letters of an argument.
const LONGEST: usize = 200;

/// Something that can be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tool {
    /// Small letters, digits and `_`.
    pub name: String,
    /// What it does and when it is of use, for the model.
    pub about: String,
    /// What must be known for it.
    pub takes: Vec<Argument>,
    /// The JSON schema of its arguments, where somebody else has made it: nothing is in `takes` then.
    pub schema: Option<Value>,
}

/// What a tool is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Argument {
    /// Its name, and that of the variable that holds it.
    pub name: String,
    /// What it is, for the model.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// What it must be: `text`, `number` (a whole one), `yes_no` (`yes` or `no`), `choice`, one of `choices`, `date`, `2027-01-05`, or
    /// `telephone`, `+261341234567`. The model may give the last two in the caller's own words, as `gather` understands them.
    #[serde(default)]
    pub kind: ArgumentKind,
    /// With `kind = "choice"`: what it may be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
    /// With `kind = "date"`: whether a day that is over is right.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub past: bool,
    /// With `kind = "date"`: how many days away it may be, 1 to 3,650.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within_days: Option<u16>,
    /// Whether it may be left out; it is empty then.
    #[serde(default)]
    pub optional: bool,
}

/// What an argument must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArgumentKind {
    /// Words, up to 200 letters.
    #[default]
    Text,
    /// A whole number.
    Number,
    /// Yes or no.
    YesNo,
    /// One of several.
    Choice,
    /// A day, as ISO 8601 has it.
    Date,
    /// A telephone number, as E.164 has it.
    Telephone,
}

impl Argument {
    fn schema(&self) -> Value {
        let mut schema = match self.kind {
            ArgumentKind::Text | ArgumentKind::Date | ArgumentKind::Telephone => {
                json!({ "type": "string", "minLength": u8::from(!self.optional), "maxLength": LONGEST })
            }
            ArgumentKind::Number => json!({ "type": "integer" }),
            ArgumentKind::YesNo => json!({ "type": "boolean" }),
            ArgumentKind::Choice => json!({ "type": "string", "enum": self.choices }),
        };
        // A model counts days badly, and Milo does not: it may say what the caller has said.
        let hint = match self.kind {
            ArgumentKind::Date => "a day: YYYY-MM-DD, or in the caller's own words",
            ArgumentKind::Telephone => "a telephone number: its digits, or in the caller's own words",
            _ => "",
        };
        let about: Vec<_> = [self.about.as_str(), hint].into_iter().filter(|part| !part.is_empty()).collect();
        if !about.is_empty() {
            schema["description"] = about.join("; ").into();
        }
        schema
    }

    /// What a value is as a variable.
    ///
    /// # Errors
    /// What would be right.
    fn text(&self, value: &Value, today: Date) -> Result<String, String> {
        let text = match (value, self.kind) {
            (Value::Bool(yes), _) => if *yes { "yes" } else { "no" }.to_owned(),
            (Value::Number(number), _) => number.to_string(),
            (Value::String(text), _) => text.split_whitespace().collect::<Vec<_>>().join(" "),
            (Value::Null, _) => String::new(),
            (other, _) => return Err(format!("{} is {other}, and no single value", self.name)),
        };
        if text.is_empty() {
            return if self.optional { Ok(text) } else { Err(format!("{} is missing", self.name)) };
        }
        if text.chars().count() > LONGEST {
            return Err(format!("{} is longer than {LONGEST} characters", self.name));
        }
        if self.kind == ArgumentKind::Date {
            return self.day(&text, today);
        }
        if self.kind == ArgumentKind::Telephone {
            let wrong = || format!("{} is {text:?}, not a whole telephone number", self.name);
            return heard::telephone(&text).ok_or_else(wrong);
        }
        let is_right = match self.kind {
            ArgumentKind::Text | ArgumentKind::Date | ArgumentKind::Telephone => true,
            ArgumentKind::Number => text.parse::<i64>().is_ok(),
            ArgumentKind::YesNo => matches!(text.as_str(), "yes" | "no"),
            ArgumentKind::Choice => self.choices.contains(&text),
        };
        let wanted = match self.kind {
            ArgumentKind::Text | ArgumentKind::Date | ArgumentKind::Telephone => String::new(),
            ArgumentKind::Number => "a whole number".into(),
            ArgumentKind::YesNo => "yes or no".into(),
            ArgumentKind::Choice => format!("one of {}", self.choices.join(", ")),
        };
        if is_right { Ok(text) } else { Err(format!("{} is {text:?}, not {wanted}", self.name)) }
    }

    fn day(&self, text: &str, today: Date) -> Result<String, String> {
        let Some(day) = heard::day(text, today) else {
            return Err(format!("{} is {text:?}, not one day such as {today}, which is today", self.name));
        };
        let reach = Reach { past: self.past, within: self.within_days };
        if reach.holds(day, today) {
            return Ok(day.to_string());
        }
        let within = self.within_days.map(|most| format!("no more than {most} days away"));
        let past = (!self.past).then(|| "not over".to_owned());
        let wanted: Vec<_> = past.into_iter().chain(within).collect();
        Err(format!("{} is {day}; it must be {}, and today is {today}", self.name, wanted.join(" and ")))
    }
}

impl Tool {
    /// The JSON schema of its arguments, for servers.
    pub fn schema(&self) -> Value {
        if let Some(schema) = &self.schema {
            return schema.clone();
        }
        let properties: Map<_, _> =
            self.takes.iter().map(|argument| (argument.name.clone(), argument.schema())).collect();
        let required: Vec<_> = self.takes.iter().filter(|one| !one.optional).map(|one| one.name.as_str()).collect();
        json!({ "type": "object", "properties": properties, "required": required })
    }

    /// Whether a model in this process can call it: what of a schema no grammar can say, it cannot either.
    pub fn is_sayable(&self) -> bool {
        self.schema.as_ref().is_none_or(|schema| schema["type"] == "object" && schema["properties"][TOOL].is_null())
            && json_schema::grammar(&self.form()).is_ok()
    }

    /// Its arguments' names and schemas, those that may be left out with an empty text in place of a value.
    fn parts(&self) -> Vec<(&str, Value)> {
        let left_out = |schema: Value| json!({ "anyOf": [schema, { "const": "" }] });
        let Some(schema) = &self.schema else {
            let part = |argument: &Argument| match argument.optional {
                true => left_out(argument.schema()),
                false => argument.schema(),
            };
            return self.takes.iter().map(|argument| (argument.name.as_str(), part(argument))).collect();
        };
        let required: Vec<_> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let properties = schema["properties"].as_object().into_iter().flatten();
        let part = |(name, part): (_, &Value)| match required.contains(&name) {
            true => (name, part.clone()),
            false => (name, left_out(part.clone())),
        };
        properties.map(|(name, schema)| part((name.as_str(), schema))).collect()
    }

    /// A call of it as a model in this process says it.
    fn form(&self) -> Value {
        let parts = self.parts();
        let mut properties = Map::new();
        properties.insert(TOOL.into(), json!({ "const": self.name }));
        let order: Vec<_> = [TOOL].into_iter().chain(parts.iter().map(|(name, _)| *name)).collect();
        let order = json!(order);
        properties.extend(parts.into_iter().map(|(name, schema)| (name.to_owned(), schema)));
        json!({ "type": "object", "properties": properties, "required": order })
    }
}

/// What stands behind the system prompt of a model in this process: the names and arguments of the tools, and what is said of them.
pub(crate) fn told(tools: &[Tool]) -> String {
    let signature = |tool: &Tool| {
        let arguments: Vec<_> = tool.parts().into_iter().map(|(name, _)| name.to_owned()).collect();
        format!("{}({})", tool.name, arguments.join(","))
    };
    let mut told = format!("Fitaovana: {}", tools.iter().map(signature).collect::<Vec<_>>().join(" "));
    for tool in tools.iter().filter(|tool| !tool.about.is_empty()) {
        told += &format!("\n{}: {}", tool.name, tool.about);
        for argument in tool.takes.iter().filter(|argument| !argument.about.is_empty() || !argument.choices.is_empty())
        {
            told += &format!("\n  {}: {} {}", argument.name, argument.about, argument.choices.join(" | "));
        }
    }
    told
}

/// The grammar of a reply that is either words or a call. Words do not begin with a brace.
///
/// # Errors
/// What no grammar can say.
pub(crate) fn grammar(tools: &[Tool]) -> Result<String, String> {
    let forms: Vec<_> = tools.iter().map(Tool::form).collect();
    let calls = json_schema::grammar(&json!({ "anyOf": forms }))?;
    let calls = calls.replacen("root ::=", "call ::=", 1);
    Ok(format!("root ::= call | words\nwords ::= \" \"? [^ {{\\x00] [^\\x00]*\n{calls}"))
}

/// What a model wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The tool's name; there may be none such.
    pub tool: String,
    /// What it is told; null where that was no object.
    pub arguments: Value,
    /// The call as a model in this process says it.
    pub text: String,
}

impl Call {
    /// Of a server's model: `arguments` is the text of a JSON object.
    pub(crate) fn of_server(tool: &str, arguments: &str) -> Self {
        let trimmed = arguments.trim();
        let arguments = if trimmed.is_empty() { json!({}) } else { serde_json::from_str(trimmed).unwrap_or_default() };
        let mut text = format!("{{\"{TOOL}\": {}", Value::from(tool));
        for (name, value) in arguments.as_object().into_iter().flatten() {
            text += &format!(", {}: {value}", Value::from(name.as_str()));
        }
        Self { tool: tool.into(), arguments, text: text + "}" }
    }

    /// Of what a model in this process has said.
    pub(crate) fn of_words(text: &str) -> Self {
        let text = text.trim();
        let mut said: Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
        let tool = said.remove(TOOL).and_then(|tool| tool.as_str().map(str::to_owned)).unwrap_or_default();
        let arguments = if tool.is_empty() { Value::Null } else { Value::Object(said) };
        Self { tool, arguments, text: text.into() }
    }

    /// As a message of the conversation.
    pub fn message(&self) -> ChatMessage {
        ChatMessage::new(Role::Call, self.text.clone())
    }

    /// The same of a message.
    pub(crate) fn of_message(message: &ChatMessage) -> Self {
        Self::of_words(&message.content)
    }

    /// The tool, and its arguments.
    ///
    /// # Errors
    /// What of the call is wrong, for the model to mend.
    fn find<'t>(&self, tools: &'t [Tool]) -> Result<(&'t Tool, &Map<String, Value>), String> {
        let Some(tool) = tools.iter().find(|tool| tool.name == self.tool) else {
            let known: Vec<_> = tools.iter().map(|tool| tool.name.as_str()).collect();
            return Err(format!("there is no tool {:?}; there are {}", self.tool, known.join(", ")));
        };
        let Value::Object(said) = &self.arguments else {
            return Err(format!("the arguments of {} are no JSON object", self.tool));
        };
        Ok((tool, said))
    }

    /// The tool, and its arguments as texts; of one with a schema of its own, as [`Call::values`] has them. Days are counted from today.
    ///
    /// # Errors
    /// What of the call is wrong, for the model to mend.
    pub fn check<'t>(&self, tools: &'t [Tool], today: Date) -> Result<(&'t Tool, BTreeMap<String, String>), String> {
        let (tool, said) = self.find(tools)?;
        if let Some(schema) = &tool.schema {
            let values = self.values();
            // What somebody else's schema says besides is theirs to check.
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            if let Some(missing) = required.into_iter().find(|name| !values.contains_key(*name)) {
                return Err(format!("{missing} is missing"));
            }
            let text = |(name, value): (String, Value)| (name, value.as_str().map_or(value.to_string(), str::to_owned));
            return Ok((tool, values.into_iter().map(text).collect()));
        }
        if let Some(unknown) = said.keys().find(|name| tool.takes.iter().all(|argument| argument.name != **name)) {
            return Err(format!("{} takes no {unknown:?}", self.tool));
        }
        let text = |argument: &Argument| {
            let value = said.get(&argument.name).unwrap_or(&Value::Null);
            argument.text(value, today).map(|text| (argument.name.clone(), text))
        };
        Ok((tool, tool.takes.iter().map(text).collect::<Result<_, _>>()?))
    }
}

impl Call {
    /// The arguments as they were said, those left out that are empty.
    pub fn values(&self) -> Map<String, Value> {
        let said = self.arguments.as_object().into_iter().flatten();
        let said = said.filter(|(_, value)| !value.is_null() && value.as_str() != Some(""));
        said.map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}

/// What a model is told: JSON of one object with a space behind each mark, as the shipped one was trained.
pub fn plainly(object: &Value) -> String {
    let fields = object.as_object().into_iter().flatten();
    let fields = fields.map(|(name, value)| format!("{}: {value}", Value::from(name.as_str())));
    format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
}

/// What it is told of something that was not done.
pub fn not_done(why: &str) -> String {
    plainly(&json!({ "ok": false, "why": why }))
}

/// A conversation as a model in this process reads it: calls are what Milo said, and what came of them what the caller's side did. What
/// then stands side by side and is one party's is one message.
pub(crate) fn flat(messages: &[ChatMessage]) -> Vec<ChatMessage> {
    let mut flat: Vec<ChatMessage> = Vec::with_capacity(messages.len());
    let mut joins = false;
    for message in messages {
        let (role, is_of_tools) = match message.role {
            Role::Call => (Role::Assistant, true),
            Role::Result => (Role::User, true),
            role => (role, false),
        };
        match flat.last_mut().filter(|last| last.role == role && (joins || is_of_tools)) {
            Some(last) => last.content += &format!("\n{}", message.content),
            None => flat.push(ChatMessage::new(role, message.content.clone())),
        }
        joins = is_of_tools;
    }
    flat
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A Monday.
    const TODAY: Date = Date::constant(2026, 11, 30);

    /// A tool with texts for arguments.
    pub(crate) fn tool(name: &str, takes: &[&str]) -> Tool {
        let argument = |name: &&str| Argument {
            name: (*name).into(),
            about: String::new(),
            kind: ArgumentKind::Text,
            choices: Vec::new(),
            past: false,
            within_days: None,
            optional: false,
        };
        Tool { name: name.into(), about: String::new(), takes: takes.iter().map(argument).collect(), schema: None }
    }

    fn seats() -> Tool {
        let mut tool = tool("seats", &["town", "number", "window"]);
        tool.about = "Keeps seats.".into();
        tool.takes[0].kind = ArgumentKind::Choice;
        tool.takes[0].choices = vec!["toliara".into(), "mahajanga".into()];
        tool.takes[1].kind = ArgumentKind::Number;
        tool.takes[2].kind = ArgumentKind::YesNo;
        tool.takes[2].optional = true;
        tool
    }

    #[test]
    fn a_model_is_told_of_tools_as_the_shipped_one_was_trained() {
        let tools = [tool("book", &["day", "hour"]), tool("cancel", &[])];
        assert_eq!(told(&tools), "Fitaovana: book(day,hour) cancel()");
        let told = told(&[seats()]);
        assert_eq!(told.lines().collect::<Vec<_>>()[1..], ["seats: Keeps seats.", "  town:  toliara | mahajanga"]);
        let schema = seats().schema();
        assert_eq!(schema["required"], json!(["town", "number"]));
        assert_eq!(schema["properties"]["window"], json!({ "type": "boolean" }));
    }

    #[test]
    fn arguments_become_texts_and_what_is_wrong_with_them_is_told() {
        let tools = [seats()];
        let check = |arguments: &str| Call::of_server("seats", arguments).check(&tools, TODAY).map(|(_, texts)| texts);
        let right = check(r#"{"town": "toliara", "number": 3, "window": true}"#).unwrap();
        assert_eq!(right.values().collect::<Vec<_>>(), ["3", "toliara", "yes"]);
        assert_eq!(check(r#"{"town": "toliara", "number": "3"}"#).unwrap()["window"], "");
        for (arguments, why) in [
            ("", "town is missing"),
            ("{", "no JSON object"),
            ("[]", "no JSON object"),
            (r#"{"town": "paris", "number": 3}"#, "\"paris\", not one of toliara, mahajanga"),
            (r#"{"town": "toliara", "number": 2.5}"#, "\"2.5\", not a whole number"),
            (r#"{"town": "toliara", "number": [2]}"#, "no single value"),
            (r#"{"town": "toliara", "number": 3, "floor": 1}"#, "takes no \"floor\""),
        ] {
            let told = check(arguments).unwrap_err();
            assert!(told.contains(why), "{told}\n  not: {why}");
        }
        let told = Call::of_server("fly", "{}").check(&tools, TODAY).unwrap_err();
        assert!(told.contains("no tool \"fly\"; there are seats"), "{told}");
    }

    #[test]
    fn days_and_telephone_numbers_may_be_given_in_the_callers_words() {
        let mut book = tool("book", &["day", "telephone"]);
        (book.takes[0].kind, book.takes[0].within_days) = (ArgumentKind::Date, Some(30));
        book.takes[1].kind = ArgumentKind::Telephone;
        let described = book.schema()["properties"]["day"]["description"].clone();
        assert!(described.as_str().is_some_and(|told| told.contains("YYYY-MM-DD")), "{described}");
        assert!(book.is_sayable());
        let tools = [book];
        let check = |day: &str, telephone: &str| {
            let arguments = json!({ "day": day, "telephone": telephone }).to_string();
            Call::of_server("book", &arguments).check(&tools, TODAY).map(|(_, texts)| texts)
        };
        let right = check("rahampitso", "034 12 345 67").unwrap();
        assert_eq!(right.values().collect::<Vec<_>>(), ["2026-12-01", "+261341234567"]);
        assert_eq!(check("2026-12-30", "0341234567").unwrap()["day"], "2026-12-30");
        for (day, telephone, why) in [
            ("2026-13-01", "0341234567", "not one day such as 2026-11-30"),
            ("mardi ou jeudi", "0341234567", "not one day"),
            ("2026-11-29", "0341234567", "is 2026-11-29; it must be not over and no more than 30 days away"),
            ("2026-12-31", "0341234567", "no more than 30 days away"),
            ("demain", "12", "not a whole telephone number"),
            ("", "0341234567", "day is missing"),
        ] {
            let told = check(day, telephone).unwrap_err();
            assert!(told.contains(why), "{told}\n  not: {why}");
        }
    }

    #[test]
    fn a_tool_may_bring_a_schema_of_its_own() {
        let mut tool = tool("shop_find", &[]);
        tool.schema = Some(json!({ "type": "object", "required": ["of"],
            "properties": { "of": { "type": "string" }, "most": { "type": "integer" } } }));
        assert!(tool.is_sayable());
        assert_eq!(told(std::slice::from_ref(&tool)), "Fitaovana: shop_find(most,of)");
        let tools = [tool.clone()];
        let check =
            |arguments: &str| Call::of_server("shop_find", arguments).check(&tools, TODAY).map(|(_, texts)| texts);
        assert_eq!(
            check(r#"{"of": "boky", "most": ""}"#).unwrap().into_iter().collect::<Vec<_>>(),
            [("of".into(), "boky".into())]
        );
        assert_eq!(check(r#"{"most": 3}"#).unwrap_err(), "of is missing");
        for schema in
            [json!({ "$ref": "#/x" }), json!({ "type": "object", "properties": { "tool": { "type": "string" } } })]
        {
            tool.schema = Some(schema);
            assert!(!tool.is_sayable());
        }
    }

    #[test]
    fn a_call_is_the_same_however_it_was_made() {
        let said = r#"{"tool": "price", "of": "boky"}"#;
        let (own, server) = (Call::of_words(&format!(" {said}")), Call::of_server("price", r#"{"of":"boky"}"#));
        assert_eq!(own, server);
        assert_eq!((own.text.as_str(), Call::of_message(&own.message())), (said, server));
        assert_eq!(Call::of_words("{\"tool\": ").arguments, Value::Null);
    }

    #[test]
    fn what_tools_say_is_read_as_what_the_two_sides_said() {
        let message = ChatMessage::new;
        let flat = flat(&[
            message(Role::System, "S"),
            message(Role::User, "firy"),
            message(Role::Assistant, "andraso"),
            message(Role::Call, "{1}"),
            message(Role::Call, "{2}"),
            message(Role::Result, "[1]"),
            message(Role::Result, "[2]"),
            message(Role::User, "eny"),
        ]);
        let texts: Vec<_> = flat.iter().map(|message| (message.role, message.content.as_str())).collect();
        assert_eq!(
            texts,
            [
                (Role::System, "S"),
                (Role::User, "firy"),
                (Role::Assistant, "andraso\n{1}\n{2}"),
                (Role::User, "[1]\n[2]\neny")
            ]
        );
    }
}
