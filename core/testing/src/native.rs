use std::io::Write;

pub use pollster::block_on;

/// Makes a function without arguments a test: `gpu_test!(name)`, or `gpu_test!(name, panics = "message")`.
#[macro_export]
macro_rules! gpu_test {
    ($name:ident $(, panics = $message:literal)?) => {
        mod $name {
            #[test]
            $(#[should_panic(expected = $message)])?
            fn natively() {
                super::$name();
            }
        }
    };
}

/// Says `text` past a test's captured output.
pub fn say(text: &str) {
    writeln!(std::io::stderr(), "{text}").expect("stderr is open");
}
