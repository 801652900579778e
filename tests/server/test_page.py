"""The page at `/` loads nothing from elsewhere."""

import re


def test_the_page_is_one_file(client):
    answer = client.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert not re.search(r"https?://|\b(?:src|href)=|@import|url\(", answer.text)
