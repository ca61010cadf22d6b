"""An instance of a service: an nginx in one process, on the port that it is told.

    python3 instance.py PORT
"""

import os
import sys
import tempfile
from pathlib import Path

port = sys.argv[1]
folder = Path(tempfile.mkdtemp(prefix=f"instance-{port}-", dir=Path(__file__).parent))
kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
scratch = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
(folder / "nginx.conf").write_text(f"""
daemon off;
master_process off;
pid {folder}/pid;
events {{ worker_connections 1000; }}
http {{
    {scratch}
    access_log off;
    keepalive_requests 1000000000;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{ return 200 "{'x' * 1023}\\n"; }}
    }}
}}
""")
os.execvp("nginx", ["nginx", "-c", str(folder / "nginx.conf"), "-p", str(folder), "-e", str(folder / "error.log")])
