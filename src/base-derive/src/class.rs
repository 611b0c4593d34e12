//! One `#[class(…)]`, and the field it may mean.

use proc_macro2::TokenStream as Tokens;
use quote::{format_ident, quote};
use syn::{Attribute, Error, Field, Fields, Ident, Member, Path, Result, Token};

/// What an attribute says.
pub(crate) enum Class {
    /// One of the classes, by its variant of `ErrorClass`.
    Fixed(Ident),
    /// That of the error which caused it.
    Source,
    /// What a field of this name holds.
    Field(Ident),
    /// What a function of the error says.
    With(Path),
}

impl Class {
    /// The class among these attributes, if there is one.
    pub(crate) fn of(attributes: &[Attribute]) -> Result<Option<Self>> {
        let mut classes = attributes.iter().filter(|attribute| attribute.path().is_ident("class"));
        match (classes.next(), classes.next()) {
            (Some(_), Some(second)) => Err(Error::new_spanned(second, "a second class")),
            (first, _) => first.map(|attribute| attribute.parse_args_with(Self::parse)).transpose(),
        }
    }

    fn parse(input: syn::parse::ParseStream<'_>) -> Result<Self> {
        let word: Ident = input.parse()?;
        Ok(Self::Fixed(match word.to_string().as_str() {
            "permanent" => format_ident!("Permanent"),
            "transient" => format_ident!("Transient"),
            "busy" => format_ident!("Busy"),
            "cancelled" => format_ident!("Cancelled"),
            "operator" => format_ident!("Operator"),
            "source" => return Ok(Self::Source),
            "field" => {
                input.parse::<Token![=]>()?;
                return input.parse().map(Self::Field);
            }
            "with" => {
                input.parse::<Token![=]>()?;
                return input.parse().map(Self::With);
            }
            _ => {
                let known = "permanent, transient, busy, cancelled, operator, source, field = name or with = function";
                return Err(Error::new(word.span(), format!("no class {word}: use {known}")));
            }
        }))
    }

    /// The class as an expression, and the field of `owner` that it reads as `field`, where it reads one.
    pub(crate) fn value(&self, fields: &Fields, owner: &Ident) -> Result<(Tokens, Option<Member>)> {
        Ok(match self {
            Self::Fixed(class) => (quote!(::bootstash_base::error::ErrorClass::#class), None),
            Self::With(function) => (quote!(#function(self)), None),
            Self::Field(name) => (quote!(*field), Some(name.clone().into())),
            Self::Source => {
                let kind = quote!(::bootstash_base::error::Classified::kind(field));
                (kind, Some(source_of(fields, owner)?))
            }
        })
    }
}

/// The field that holds the cause: as thiserror finds it, or else the only one.
fn source_of(fields: &Fields, owner: &Ident) -> Result<Member> {
    let marked = |field: &&(usize, &Field)| {
        let named = field.1.ident.as_ref().is_some_and(|name| name == "source");
        named
            || field
                .1
                .attrs
                .iter()
                .any(|attribute| ["from", "source"].iter().any(|name| attribute.path().is_ident(name)))
    };
    let all: Vec<_> = fields.iter().enumerate().collect();
    let found = all.iter().find(marked).or(all.first().filter(|_| all.len() == 1));
    let (index, field) = found.ok_or_else(|| {
        Error::new_spanned(owner, format!("{owner} has no source: mark a field with #[source] or #[from]"))
    })?;
    Ok(field.ident.clone().map_or(Member::from(*index), Member::from))
}
