# shellcheck shell=bash
facts() { :; }
