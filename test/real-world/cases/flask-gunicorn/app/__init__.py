import getpass
import os

from flask import Flask, jsonify, render_template

app = Flask(__name__)
app.config["GREETING"] = os.environ.get("GREETING", "Hello")


@app.get("/")
def index():
    return render_template("index.html", greeting=app.config["GREETING"])


@app.get("/whoami")
def whoami():
    return jsonify(user=getpass.getuser(), home=os.environ["HOME"])
