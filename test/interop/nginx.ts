/** A web server for the tests: nginx, which serves one directory and takes uploads into it (WebDAV PUT). */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { LabNamespace } from '../../src/testing/lab/index.js'

/**
 * Starts nginx on port 80 of a namespace; resolves when it listens.
 * @param directory empty; files served and taken are in the subdirectory returned
 */
export const startNginx = async (where: LabNamespace, directory: string): Promise<string> => {
  const files = join(directory, 'files')
  mkdirSync(files)
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${join(directory, name)};`)
  writeFileSync(join(directory, 'nginx.conf'), `
    user root;
    daemon off;
    pid ${join(directory, 'pid')};
    error_log stderr warn;
    events { worker_connections 2048; }
    http {
      access_log off;
      ${paths.join('\n')}
      server {
        listen 80 backlog=2048;
        root ${files};
        dav_methods PUT;
        client_max_body_size 0;
      }
    }`)
  const server = where.spawn('nginx', ['-c', join(directory, 'nginx.conf'), '-p', directory])
  await Promise.race([
    where.run('sh', ['-c', 'until nc -z 127.0.0.1 80; do sleep 0.02; done'], { timeout: 10_000 }),
    server.done.then(() => Promise.reject(server.failure('ended'))),
  ])
  return files
}
