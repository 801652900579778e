"""``bge-fast doctor``: its report, its checks, and the questions it asks in processes of their own."""
