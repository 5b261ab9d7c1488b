#!/bin/sh
cat /message.txt
