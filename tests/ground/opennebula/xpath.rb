#!/usr/bin/env python3
"""Stands for OpenNebula's xpath.rb: for each XPath the text that is there, or nothing, and a NUL."""
import re
import sys
import xml.etree.ElementTree as tree

assert sys.argv[1] == "--stdin"
document = tree.parse(sys.stdin).getroot()
for path in sys.argv[2:]:
    root, _, below = path.lstrip("/").partition("/")
    assert root == document.tag, path
    print(document.findtext(re.sub(r"=(\w+)\]", r"='\1']", below), ""), end="\0")
