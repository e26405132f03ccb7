//! What refscope promises, and how it is tested.
