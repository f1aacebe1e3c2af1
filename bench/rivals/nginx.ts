import { mkdtemp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { findProgram } from '../../test/servers/available.ts'
import { tellsKernel } from '../kernel.ts'
import { type BenchProcess, freePort, startProgram, whenListening } from '../process.ts'

/** Path of nginx, which Debian keeps where only root's PATH looks; undefined where there is none, or nobody tells what it uses. */
export function findNginx(): string | undefined {
  return tellsKernel() ? findProgram('nginx', process.env, ['/usr/sbin']) : undefined
}

/** One process that forwards everything and keeps its connections to Flowise. */
export async function startNginx(program: string, { upstreamUrl, folder }: { upstreamUrl: string; folder: string }) {
  const port = await freePort()
  const own = await mkdtemp(join(folder, 'nginx-'))
  const file = join(own, 'nginx.conf')
  await writeFile(file, configuration({ folder: own, port, upstream: new URL(upstreamUrl).host }))
  const started: BenchProcess = startProgram({ program, args: ['-p', own, '-c', file], core: 'measured' })
  await whenListening(started, port)
  return { ...started, url: `http://127.0.0.1:${port}` }
}

/** As a manual would have it for event streams: HTTP/1.1 to Flowise, nothing buffered, no log. */
function configuration({ folder, port, upstream }: { folder: string; port: number; upstream: string }): string {
  const folders = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${folder}/${name};`
  )
  return `daemon off;
master_process off;
pid ${folder}/nginx.pid;
error_log /dev/null;
events { worker_connections 8192; }
http {
  access_log off;
  keepalive_requests 100000000;
  ${folders.join('\n  ')}
  upstream flowise { server ${upstream}; keepalive 4096; keepalive_requests 100000000; }
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://flowise;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_read_timeout 1h;
    }
  }
}
`
}
