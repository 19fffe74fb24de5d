"""A model server that only says that it has its model, and leaves what it was told in the model's folder."""

SERVER = """
import json, os, sys, subprocess
from http.server import BaseHTTPRequestHandler, HTTPServer
folder, options = sys.argv[1], dict(one.lstrip("-").split("=", 1) for one in sys.argv[2:])
child = subprocess.Popen(["sleep", "600"])
told = {"options": options, "pids": [os.getpid(), child.pid], "a": os.environ.get("A")}
with open(os.path.join(folder, "told"), "w") as file:
    json.dump(told, file)
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/v1/models" else 404)
        self.end_headers()
    def log_message(self, *_):
        pass
HTTPServer((options["host"], int(options["port"])), Handler).serve_forever()
"""
