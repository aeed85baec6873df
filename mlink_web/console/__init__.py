"""The console for administrators, at /admin/: forms for users and domains, live pages for what happens on the node."""
