"""What people report as spam or abuse (XEP-0377): their store and the console pages."""
