//! The web server behind `tbrm serve`: the built page, and the files of one run beside it.

pub(crate) mod http;
pub(crate) mod site;

pub(crate) use http::Server;
pub(crate) use site::{Folder, Page, Site};

/// One file of the built page.
#[derive(Debug)]
pub struct PageFile {
    /// Its path from the page's root, with `/` between.
    pub name: &'static str,
    /// What is in it.
    pub bytes: &'static [u8],
}

/// The page as it was built when this binary was; empty where it was not.
pub static PAGE: &[PageFile] = include!(concat!(env!("OUT_DIR"), "/page.rs"));
