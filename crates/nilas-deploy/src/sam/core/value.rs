//! JSON values as AWS's translator holds them: text knows whether it came from the document, and maps know the order in
//! which Python 2.7 would have listed their keys.
//!
//! Both show in the logical id of a REST API's deployment, which is a digest of the API's definition printed as
//! Python 2.7 printed it, and the order decides the order of lists that are made from maps.

use indexmap::IndexMap;
use serde_json::{Number, Value};

use super::table::KeyTable;
pub(in crate::sam) use super::text::Text;

/// One value. Equality looks through marks and orders.
#[derive(Clone, Debug, PartialEq, Default)]
pub(in crate::sam) enum Val {
    #[default]
    Null,
    Bool(bool),
    Number(Number),
    Text(Text),
    List(Vec<Self>),
    Map(Map),
}

impl Val {
    /// The member, if this is a map that has it and it is not null.
    pub(in crate::sam) fn get(&self, key: &str) -> Option<&Self> {
        self.as_map()?.get(key)
    }

    pub(in crate::sam) fn as_map(&self) -> Option<&Map> {
        match self {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }

    pub(in crate::sam) fn as_map_mut(&mut self) -> Option<&mut Map> {
        match self {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }

    pub(in crate::sam) fn as_list(&self) -> Option<&[Self]> {
        match self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }

    pub(in crate::sam) fn as_str(&self) -> Option<&str> {
        self.as_text().map(Text::as_str)
    }

    pub(in crate::sam) fn as_text(&self) -> Option<&Text> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(in crate::sam) fn is_null(&self) -> bool {
        *self == Self::Null
    }

    pub(in crate::sam) fn is_text(&self, text: &str) -> bool {
        self.as_str() == Some(text)
    }

    /// What Python calls true: not null, false, zero or empty.
    pub(in crate::sam) fn truthy(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Bool(value) => *value,
            Self::Number(number) => number.as_f64() != Some(0.0),
            Self::Text(text) => !text.is_empty(),
            Self::List(list) => !list.is_empty(),
            Self::Map(map) => !map.is_empty(),
        }
    }

    /// Python's name of this value's type.
    pub(in crate::sam) fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "NoneType",
            Self::Bool(_) => "bool",
            Self::Number(number) if number.is_f64() => "float",
            Self::Number(_) => "int",
            Self::Text(_) => "str",
            Self::List(_) => "list",
            Self::Map(_) => "dict",
        }
    }

    /// A copy that forgets the history of the maps' key tables, as `copy.deepcopy` does.
    pub(in crate::sam) fn deep_copy(&self) -> Self {
        match self {
            Self::List(list) => Self::List(list.iter().map(Self::deep_copy).collect()),
            Self::Map(map) => Self::Map(map.deep_copy()),
            other => other.clone(),
        }
    }

    /// The value with all of its text marked and its maps in Python 2.7's order.
    pub(in crate::sam) fn marked(&self) -> Self {
        match self {
            Self::Text(text) => Self::Text(Text::new(text.as_str(), true)),
            Self::List(list) => Self::List(list.iter().map(Self::marked).collect()),
            Self::Map(map) => {
                let mut marked = Map::ordered();
                for (key, value) in map.iter() {
                    marked.insert(Text::new(key.as_str(), true), value.marked());
                }
                Self::Map(marked)
            }
            other => other.clone(),
        }
    }

    pub(in crate::sam) fn from_json(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => Self::Number(number.clone()),
            Value::String(text) => text.as_str().into(),
            Value::Array(list) => Self::List(list.iter().map(Self::from_json).collect()),
            Value::Object(map) => Self::Map(Map::from_json(map)),
        }
    }

    pub(in crate::sam) fn to_json(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Number(number) => Value::Number(number.clone()),
            Self::Text(text) => Value::String(text.as_str().to_owned()),
            Self::List(list) => Value::Array(list.iter().map(Self::to_json).collect()),
            Self::Map(map) => Value::Object(
                map.iter().map(|(key, value)| (key.as_str().to_owned(), value.to_json())).collect(),
            ),
        }
    }
}

impl From<&str> for Val {
    fn from(text: &str) -> Self {
        Self::Text(Text::plain(text))
    }
}

impl From<String> for Val {
    fn from(text: String) -> Self {
        Self::Text(Text::plain(text))
    }
}

impl From<Text> for Val {
    fn from(text: Text) -> Self {
        Self::Text(text)
    }
}

impl From<&Text> for Val {
    fn from(text: &Text) -> Self {
        Self::Text(text.clone())
    }
}

impl From<bool> for Val {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Val {
    fn from(value: i64) -> Self {
        Self::Number(value.into())
    }
}

impl From<Vec<Self>> for Val {
    fn from(list: Vec<Self>) -> Self {
        Self::List(list)
    }
}

impl From<Map> for Val {
    fn from(map: Map) -> Self {
        Self::Map(map)
    }
}

impl From<&Self> for Val {
    fn from(value: &Self) -> Self {
        value.clone()
    }
}

impl From<Option<&Self>> for Val {
    fn from(value: Option<&Self>) -> Self {
        value.cloned().unwrap_or_default()
    }
}

/// A map in the order of insertion, or in Python 2.7's where it has a key table.
#[derive(Clone, Debug, Default)]
pub(in crate::sam) struct Map {
    entries: IndexMap<Text, Val>,
    table: Option<KeyTable>,
}

impl PartialEq for Map {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

impl Map {
    pub(in crate::sam) fn new() -> Self {
        Self::default()
    }

    /// An empty map that lists its keys as Python 2.7 did.
    pub(in crate::sam) fn ordered() -> Self {
        Self { entries: IndexMap::new(), table: Some(KeyTable::default()) }
    }

    /// A map in Python 2.7's order made of another.
    pub(in crate::sam) fn ordered_from(other: &Self) -> Self {
        let mut map = Self::ordered();
        map.update(other);
        map
    }

    fn from_json(json: &serde_json::Map<String, Value>) -> Self {
        let entries =
            json.iter().map(|(key, value)| (key.as_str().into(), Val::from_json(value))).collect();
        Self { entries, table: None }
    }

    pub(in crate::sam) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(in crate::sam) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(in crate::sam) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// The member, if there is one that is not null.
    pub(in crate::sam) fn get(&self, key: &str) -> Option<&Val> {
        self.entries.get(key).filter(|value| !value.is_null())
    }

    /// The member, null or not.
    pub(in crate::sam) fn entry(&self, key: &str) -> Option<&Val> {
        self.entries.get(key)
    }

    pub(in crate::sam) fn get_mut(&mut self, key: &str) -> Option<&mut Val> {
        self.entries.get_mut(key)
    }

    /// The member as text.
    pub(in crate::sam) fn text(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Val::as_str)
    }

    /// Whether the member is there and Python calls it true.
    pub(in crate::sam) fn truthy(&self, key: &str) -> bool {
        self.get(key).is_some_and(Val::truthy)
    }

    pub(in crate::sam) fn insert(&mut self, key: impl Into<Text>, value: impl Into<Val>) {
        let key = key.into();
        if let Some(table) = &mut self.table {
            table.add(&key);
        }
        self.entries.insert(key, value.into());
    }

    /// Inserts a value unless it is null.
    pub(in crate::sam) fn insert_some(&mut self, key: &str, value: impl Into<Val>) {
        let value = value.into();
        if !value.is_null() {
            self.insert(key, value);
        }
    }

    pub(in crate::sam) fn remove(&mut self, key: &str) -> Option<Val> {
        if let Some(table) = &mut self.table {
            table.remove(key);
        }
        self.entries.shift_remove(key)
    }

    /// The member, which is first set to `default` where there is none.
    pub(in crate::sam) fn or_insert(
        &mut self,
        key: impl Into<Text>,
        default: impl FnOnce() -> Val,
    ) -> &mut Val {
        let key = key.into();
        if !self.has(&key) {
            self.insert(key.clone(), default());
        }
        self.entries.entry(key).or_default()
    }

    /// The member as a map, which it is made where it is anything else.
    pub(in crate::sam) fn map_mut(&mut self, key: impl Into<Text>) -> &mut Self {
        let member = self.or_insert(key, || Val::Map(Self::ordered()));
        if !matches!(member, Val::Map(_)) {
            *member = Val::Map(Self::ordered());
        }
        match member {
            Val::Map(map) => map,
            _ => unreachable!("made a map above"),
        }
    }

    pub(in crate::sam) fn update(&mut self, other: &Self) {
        let keys = other.keys();
        if let Some(table) = &mut self.table {
            table.merge(&keys);
        }
        for (key, value) in other.iter() {
            self.insert(key.clone(), value.clone());
        }
    }

    pub(in crate::sam) fn keys(&self) -> Vec<Text> {
        match &self.table {
            Some(table) => table.keys(),
            None => self.entries.keys().cloned().collect(),
        }
    }

    pub(in crate::sam) fn iter(&self) -> impl Iterator<Item = (&Text, &Val)> {
        let order: Vec<usize> = match &self.table {
            Some(table) => table
                .keys()
                .iter()
                .filter_map(|key| self.entries.get_index_of(key.as_str()))
                .collect(),
            None => (0..self.entries.len()).collect(),
        };
        order.into_iter().filter_map(|index| self.entries.get_index(index))
    }

    /// The members for changing their values, in order.
    pub(in crate::sam) fn iter_mut(&mut self) -> impl Iterator<Item = (Text, &mut Val)> {
        let order: std::collections::HashMap<Text, usize> =
            self.keys().into_iter().enumerate().map(|(index, key)| (key, index)).collect();
        let mut members: Vec<(Text, &mut Val)> =
            self.entries.iter_mut().map(|(key, value)| (key.clone(), value)).collect();
        members.sort_by_key(|(key, _)| order.get(key).copied());
        members.into_iter()
    }

    /// The only member, of a map that has just one.
    pub(in crate::sam) fn only(&self) -> Option<(&Text, &Val)> {
        if self.len() == 1 { self.entries.first() } else { None }
    }

    /// Applies `change` to each value, in order.
    pub(in crate::sam) fn try_change<E>(
        &mut self,
        mut change: impl FnMut(Val) -> Result<Val, E>,
    ) -> Result<(), E> {
        for key in self.keys() {
            if let Some(value) = self.entries.get_mut(key.as_str()) {
                *value = change(std::mem::take(value))?;
            }
        }
        Ok(())
    }

    /// `dict.copy`, which makes the key table anew.
    pub(in crate::sam) fn shallow_copy(&self) -> Self {
        if self.table.is_some() { Self::ordered_from(self) } else { self.clone() }
    }

    fn deep_copy(&self) -> Self {
        let table = self.table.as_ref().map(KeyTable::deep_copy);
        let entries =
            self.entries.iter().map(|(key, value)| (key.clone(), value.deep_copy())).collect();
        Self { entries, table }
    }
}

/// A map in the order of insertion.
macro_rules! map {
    ($($key:expr => $value:expr),+ $(,)?) => {{
        let mut map = $crate::sam::core::value::Map::new();
        $(map.insert($key, $value);)+
        map
    }};
}

/// A map in Python 2.7's order.
macro_rules! ordered {
    ($($key:expr => $value:expr),+ $(,)?) => {{
        let mut map = $crate::sam::core::value::Map::ordered();
        $(map.insert($key, $value);)+
        map
    }};
}

/// A list of anything that is a value.
macro_rules! list {
    ($($value:expr),* $(,)?) => {
        $crate::sam::core::value::Val::List(vec![$($crate::sam::core::value::Val::from($value)),*])
    };
}

pub(in crate::sam) use {list, map, ordered};
