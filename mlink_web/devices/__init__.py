"""The clients that an account uses: their store, the page where people revoke them."""
