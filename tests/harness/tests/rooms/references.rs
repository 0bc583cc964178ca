//! Which paths a piece of code names: in `use`, in expressions and types, in the tokens of macros.
//! Methods are not seen, nor is what a `#[derive]` or a string in an attribute names.

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, Item, ItemUse, Macro, Stmt, UseTree, Visibility};

/// A path as it is written.
#[derive(Clone, Debug)]
pub struct Reference {
    pub line: usize,
    pub path: Vec<String>,
    pub kind: Kind,
    /// Compiled for tests only, in a module that is not.
    pub is_for_tests: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `use path as name`.
    Use {
        name: String,
        is_public: bool,
    },
    /// `use path::*`.
    Glob,
    Inline,
}

#[derive(Default)]
pub struct Collector {
    pub references: Vec<Reference>,
    is_for_tests: bool,
}

impl Collector {
    pub fn item(&mut self, item: &Item) {
        self.guarded(attributes_of_item(item), |this| {
            visit::visit_item(this, item);
        });
    }

    fn guarded(&mut self, attributes: &[Attribute], visit: impl FnOnce(&mut Self)) {
        let outside = self.is_for_tests;
        self.is_for_tests |= is_for_tests(attributes);
        visit(self);
        self.is_for_tests = outside;
    }

    fn add(&mut self, line: usize, path: Vec<String>, kind: Kind) {
        self.references.push(Reference {
            line,
            path,
            kind,
            is_for_tests: self.is_for_tests,
        });
    }

    fn use_tree(&mut self, tree: &UseTree, mut prefix: Vec<String>, is_public: bool) {
        match tree {
            UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                self.use_tree(&path.tree, prefix, is_public);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.use_tree(tree, prefix.clone(), is_public);
                }
            }
            UseTree::Glob(glob) => {
                self.add(glob.star_token.spans[0].start().line, prefix, Kind::Glob);
            }
            UseTree::Name(name) => {
                if name.ident != "self" {
                    prefix.push(name.ident.to_string());
                }
                let name_of = prefix.last().cloned().unwrap_or_default();
                let line = name.ident.span().start().line;
                self.add(
                    line,
                    prefix,
                    Kind::Use {
                        name: name_of,
                        is_public,
                    },
                );
            }
            UseTree::Rename(rename) => {
                if rename.ident != "self" {
                    prefix.push(rename.ident.to_string());
                }
                let name = rename.rename.to_string();
                let line = rename.ident.span().start().line;
                self.add(line, prefix, Kind::Use { name, is_public });
            }
        }
    }

    /// A macro's tokens have no syntax tree: every `a::b` in them counts.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let (mut line, mut colons) = (0, 0);
        for token in tokens {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Ident(ident) => {
                    if colons != 2 || path.is_empty() {
                        self.end_of_path(&mut path, line);
                        line = ident.span().start().line;
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                other => {
                    self.end_of_path(&mut path, line);
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.tokens(group.stream());
                    }
                }
            }
        }
        self.end_of_path(&mut path, line);
    }

    fn end_of_path(&mut self, path: &mut Vec<String>, line: usize) {
        let path = std::mem::take(path);
        if path.len() > 1 {
            self.add(line, path, Kind::Inline);
        }
    }
}

impl Visit<'_> for Collector {
    fn visit_item(&mut self, item: &Item) {
        self.item(item);
    }

    fn visit_item_use(&mut self, item: &ItemUse) {
        if item.leading_colon.is_none() {
            let is_public = !matches!(item.vis, Visibility::Inherited);
            self.use_tree(&item.tree, Vec::new(), is_public);
        }
    }

    fn visit_impl_item(&mut self, item: &syn::ImplItem) {
        let attributes = match item {
            syn::ImplItem::Fn(item) => &item.attrs[..],
            syn::ImplItem::Const(item) => &item.attrs[..],
            _ => &[],
        };
        self.guarded(attributes, |this| visit::visit_impl_item(this, item));
    }

    fn visit_stmt(&mut self, statement: &Stmt) {
        let attributes = match statement {
            Stmt::Local(local) => &local.attrs[..],
            Stmt::Macro(statement) => &statement.attrs[..],
            Stmt::Expr(expression, _) => attributes_of_expression(expression),
            Stmt::Item(_) => &[],
        };
        self.guarded(attributes, |this| visit::visit_stmt(this, statement));
    }

    fn visit_field(&mut self, field: &syn::Field) {
        self.guarded(&field.attrs, |this| visit::visit_field(this, field));
    }

    fn visit_path(&mut self, path: &syn::Path) {
        if path.leading_colon.is_none() && path.segments.len() > 1 {
            let names = path.segments.iter().map(|s| s.ident.to_string());
            let line = path.segments[0].ident.span().start().line;
            self.add(line, names.collect(), Kind::Inline);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, mac: &Macro) {
        self.visit_path(&mac.path);
        self.tokens(mac.tokens.clone());
    }

    // `pub(in crate::a)` uses nothing of `a`.
    fn visit_visibility(&mut self, _: &Visibility) {}

    fn visit_attribute(&mut self, _: &Attribute) {}
}

/// Whether what has these attributes is compiled for tests only.
pub fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let Ok(list) = attribute.meta.require_list() else {
            return false;
        };
        let mut tokens = list.tokens.clone().into_iter();
        let first = tokens.next().map(|token| token.to_string());
        let rest = tokens.next().map(|token| token.to_string());
        list.path.is_ident("cfg")
            && match first.as_deref() {
                Some("test") => true,
                Some("all") => rest.is_some_and(|rest| rest.starts_with("(test")),
                _ => false,
            }
    })
}

pub fn attributes_of_item(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn attributes_of_expression(expression: &Expr) -> &[Attribute] {
    match expression {
        Expr::Assign(expression) => &expression.attrs,
        Expr::Block(expression) => &expression.attrs,
        Expr::Call(expression) => &expression.attrs,
        Expr::If(expression) => &expression.attrs,
        Expr::Macro(expression) => &expression.attrs,
        Expr::MethodCall(expression) => &expression.attrs,
        _ => &[],
    }
}
