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
    let kind = match &input.data {
        Data::Struct(data) => of_struct(&input.ident, &data.fields, given.as_ref())?,
        Data::Enum(data) => {
            let arms = data.variants.iter().map(|variant| of_variant(variant, given.as_ref()));
            let arms: Vec<Tokens> = arms.collect::<Result<_>>()?;
            quote!(match self { #(#arms)* })
        }
        Data::Union(_) => return Err(Error::new_spanned(&input.ident, "a union is no error")),
    };
    let (name, (parameters, arguments, bounds)) = (&input.ident, input.generics.split_for_impl());
    Ok(quote! {
        impl #parameters ::bootstash_base::error::Classified for #name #arguments #bounds {
            fn kind(&self) -> ::bootstash_base::error::ErrorClass {
                #kind
            }
        }
    })
}

fn of_struct(name: &Ident, fields: &Fields, class: Option<&Class>) -> Result<Tokens> {
    match class {
        Some(Class::Source) => {
            let source = class::source_of(fields, name)?;
            Ok(quote!(::bootstash_base::error::Classified::kind(&self.#source)))
        }
        Some(class) => Ok(class.value(&quote!(self))),
        None => Err(Error::new_spanned(name, format!("{name} has no class: add #[class(…)]"))),
    }
}

fn of_variant(variant: &Variant, default: Option<&Class>) -> Result<Tokens> {
    let name = &variant.ident;
    let own = Class::of(&variant.attrs)?;
    match own.as_ref().or(default) {
        Some(Class::Source) => {
            let source = class::source_of(&variant.fields, name)?;
            Ok(
                quote!(Self::#name { #source: source, .. } => ::bootstash_base::error::Classified::kind(source),),
            )
        }
        Some(class) => {
            let value = class.value(&quote!(self));
            Ok(quote!(Self::#name { .. } => #value,))
        }
        None => Err(Error::new_spanned(
            name,
            format!("{name} has no class: add #[class(…)] to it or to the type"),
        )),
    }
}
