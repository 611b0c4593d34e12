//! `#[derive(Classified)]`: what an error asks of whoever meets it stands beside each variant, as its text does.
//!
//! See `bootstash_base::error`, which re-exports it and says what the attributes mean.

mod class;

use class::Class;
use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use quote::quote;
use syn::{Data, DeriveInput, Error, Fields, Ident, Result, Variant, parse_macro_input};

/// Implements `bootstash_base::error::Classified` by the `#[class(…)]` of the type and of each variant.
#[proc_macro_derive(Classified, attributes(class))]
pub fn classified(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    implementation(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}

fn implementation(input: &DeriveInput) -> Result<Tokens> {
    let given = Class::of(&input.attrs)?;
    let arms = match &input.data {
        Data::Struct(data) => vec![arm(&quote!(Self), &input.ident, &data.fields, given.as_ref())?],
        Data::Enum(data) => {
            let arms = data.variants.iter().map(|variant| of_variant(variant, given.as_ref()));
            arms.collect::<Result<Vec<Tokens>>>()?
        }
        Data::Union(_) => return Err(Error::new_spanned(&input.ident, "a union is no error")),
    };
    let (name, (parameters, arguments, bounds)) = (&input.ident, input.generics.split_for_impl());
    Ok(quote! {
        impl #parameters ::bootstash_base::error::Classified for #name #arguments #bounds {
            fn kind(&self) -> ::bootstash_base::error::ErrorClass {
                match self { #(#arms)* }
            }
        }
    })
}

fn of_variant(variant: &Variant, default: Option<&Class>) -> Result<Tokens> {
    let name = &variant.ident;
    let own = Class::of(&variant.attrs)?;
    arm(&quote!(Self::#name), name, &variant.fields, own.as_ref().or(default))
}

/// What a struct or variant at `path` gives.
fn arm(path: &Tokens, name: &Ident, fields: &Fields, class: Option<&Class>) -> Result<Tokens> {
    let missing =
        || Error::new_spanned(name, format!("{name} has no class: add #[class(…)] to it or to the type"));
    let (value, field) = class.ok_or_else(missing)?.value(fields, name)?;
    let binding = field.map(|member| quote!(#member: field,));
    Ok(quote!(#path { #binding .. } => #value,))
}
