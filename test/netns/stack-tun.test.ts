/** The stack beside the kernel's own TCP, at the two ends of a TUN. */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openTunStack, type RunningStack } from '../../src/sockets/index.js'
import type { TcpSocket } from '../../src/stack/sockets/node/tcp-socket.js'
import { Lab } from '../../src/testing/lab/index.js'
import type { LabNamespace } from '../../src/testing/lab/index.js'
import { collect, pattern } from '../stack/sockets/node/support.js'

const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url))
const KERNEL = '10.9.0.1'
const STACK = '10.9.0.2'

/** A server of the kernel that does what `then` says with each connection; prints its port. */
const kernelServer = (then: string): string => `
  import { createServer } from 'node:net'
  import { createHash } from 'node:crypto'
  const server = createServer({ allowHalfOpen: true }, (socket) => { ${then} })
  server.listen(0, '${KERNEL}', () => console.log('port', server.address().port))
`

const sha = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

describe('the stack on a TUN, against the kernel', () => {
  let lab: Lab
  let host: LabNamespace
  let stack: RunningStack
  const servers: Server[] = []

  const open = (mtu = 1500): void => {
    stack = host.inside(() => openTunStack({ name: 'tun0', hostAddress: `${KERNEL}/24`, addresses: [`${STACK}/24`], mtu }))
  }
  beforeEach(async () => {
    lab = await Lab.create(`stack-tun${process.pid}`)
    host = await lab.namespace('host')
    open()
  })
  afterEach(async () => {
    for (const server of servers.splice(0)) server.close()
    stack.close()
    await lab.close()
  })

  const startKernel = async (then: string): Promise<{ port: number; output: () => string }> => {
    const process = host.node(kernelServer(then))
    const [, port] = await process.waitFor(/port (\d+)/)
    return { port: Number(port), output: () => process.stdout }
  }

  /** Errors that the kernel has counted of what the stack sent. */
  const kernelErrors = async (): Promise<Record<string, number>> => {
    const { stdout } = await host.run('nstat', ['-asz', 'TcpInErrs', 'TcpInCsumErrors', 'IpInHdrErrors', 'TcpExtTCPMD5Failure', 'TcpOutRsts'])
    const counts: Record<string, number> = {}
    for (const [, name, count] of stdout.matchAll(/^(\w+)\s+(\d+)/gm)) counts[name!] = Number(count)
    return counts
  }

  /** Bytes a packet, as the kernel counts what goes through the TUN. */
  const packetSizes = (): { fromStack: number; toStack: number } => {
    const line = host.inside(() => readFileSync('/proc/thread-self/net/dev', 'utf8')).split('\n').find((each) => each.includes('tun0:'))!
    const numbers = line.split(':')[1]!.trim().split(/\s+/).map(Number)
    return { fromStack: numbers[0]! / numbers[1]!, toStack: numbers[8]! / numbers[9]! }
  }

  it('answers curl and ping', async () => {
    const http = createServer((asked, answer) => answer.end(`${asked.socket.remoteAddress} asked for ${asked.url}\n`))
    servers.push(http)
    stack.createServer((socket) => http.emit('connection', socket)).listen(80)
    const { stdout } = await host.run('curl', ['-s', `http://${STACK}/a`, `http://${STACK}/b`], { check: true })
    expect(stdout).toBe(`${KERNEL} asked for /a\n${KERNEL} asked for /b\n`)
    expect((await host.run('ping', ['-c2', '-i0.2', '-s3000', '-W5', STACK])).stdout).toContain('2 received')
    expect((await host.run('curl', ['-s', `http://${STACK}:81/`])).code).toBe(7)
    expect(await kernelErrors()).toMatchObject({ TcpInErrs: 0, TcpInCsumErrors: 0, IpInHdrErrors: 0 })
  })

  for (const mtu of [1500, 576, 9000]) {
    it(`carries large bodies both ways, MTU ${mtu}`, async () => {
      if (mtu !== 1500) {
        stack.close()
        open(mtu)
      }
      const body = pattern(20 << 20)
      const http = createServer((asked, answer) => {
        if (asked.method === 'GET') answer.end(body)
        else {
          const hash = createHash('sha256')
          asked.on('data', (chunk: Buffer) => hash.update(chunk)).on('end', () => answer.end(hash.digest('hex')))
        }
      })
      servers.push(http)
      stack.createServer((socket) => http.emit('connection', socket)).listen(80)
      const download = await host.run('sh', ['-c', `curl -s http://${STACK}/ | sha256sum`], { check: true })
      expect(download.stdout.split(' ')[0]).toBe(sha(body))
      const upload = await host.run('curl', ['-s', '--data-binary', '@-', `http://${STACK}/`], { input: body, check: true })
      expect(upload.stdout).toBe(sha(body))
      // Superpackets, both ways; half of the packets are acknowledgements of the other half at worst.
      expect(Math.min(...Object.values(packetSizes()))).toBeGreaterThan(mtu)
      expect(await kernelErrors()).toMatchObject({ TcpInErrs: 0, TcpInCsumErrors: 0, IpInHdrErrors: 0 })
    })
  }

  it('is a client of the kernel\'s server, both ways', async () => {
    const { port } = await startKernel('socket.pipe(socket)')
    const sent = pattern(10 << 20)
    const client = stack.connect(port, KERNEL)
    const [echoed] = await Promise.all([collect(client), pipeline(Readable.from([sent.subarray(0, 7), sent.subarray(7)]), client)])
    expect(sha(echoed)).toBe(sha(sent))
    expect([client.localAddress, client.remoteAddress, client.bytesRead]).toEqual([STACK, KERNEL, sent.length])
    expect(await kernelErrors()).toMatchObject({ TcpInErrs: 0, TcpInCsumErrors: 0, TcpOutRsts: 0 })
  })

  it('keeps reading when its own direction has ended', async () => {
    const { port } = await startKernel(`
      const hash = createHash('sha256')
      socket.on('data', (chunk) => hash.update(chunk)).on('end', () => socket.end(hash.digest('hex')))
    `)
    const sent = pattern(3 << 20)
    const client = stack.connect(port, KERNEL)
    client.end(sent)
    expect((await collect(client)).toString()).toBe(sha(sent))
  })

  it('is refused by a closed port, and reset by a program that ends', async () => {
    const refused = stack.connect(1, KERNEL)
    expect(((await once(refused, 'error')) as [NodeJS.ErrnoException])[0]).toMatchObject({ code: 'ECONNREFUSED', address: KERNEL, port: 1 })
    const { port } = await startKernel('socket.on("data", () => socket.resetAndDestroy())')
    const client = stack.connect(port, KERNEL)
    client.write('x')
    expect(((await once(client, 'error')) as [NodeJS.ErrnoException])[0]).toMatchObject({ code: 'ECONNRESET' })
  })

  it('stops the kernel when nobody reads, and goes on when somebody does', async () => {
    const accepted = new Promise<TcpSocket>((resolve) => stack.createServer({ pauseOnConnect: true }, resolve).listen(80))
    const client = host.node(`
      import { connect } from 'node:net'
      const socket = connect(80, '${STACK}', () => {
        let written = 0
        const more = () => { while (written < 30e6) { written += 1e6; if (!socket.write(Buffer.alloc(1e6, 7))) { socket.once('drain', more); return } } socket.end(() => console.log('done')) }
        more()
      })
    `)
    const socket = await accepted
    await expect.poll(() => socket.readableLength).toBeGreaterThan(0)
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(client.stdout).toBe('')
    expect(socket.bytesRead).toBeLessThan(1 << 20)
    let length = 0
    for await (const chunk of socket as AsyncIterable<Buffer>) length += chunk.length
    expect(length).toBe(30e6)
    await client.waitFor(/done/)
  })

  it('serves many connections of the kernel at a time', async () => {
    const server = stack.createServer((socket) => socket.pipe(socket)).listen(80)
    const client = host.node(`
      import { connect } from 'node:net'
      const ask = (number) => new Promise((resolve, reject) => {
        const socket = connect(80, '${STACK}', () => socket.end('number ' + number))
        let got = ''
        socket.on('data', (chunk) => (got += chunk)).on('error', reject).on('close', () => resolve(got === 'number ' + number))
      })
      const all = await Promise.all(Array.from({ length: 1000 }, (_, number) => ask(number)))
      console.log('right', all.filter(Boolean).length)
    `)
    const { stdout } = await client.finish()
    expect(stdout).toBe('right 1000\n')
    server.close()
    await once(server, 'close')
    expect(await kernelErrors()).toMatchObject({ TcpInErrs: 0, TcpInCsumErrors: 0 })
  })

  it('exchanges datagrams with the kernel, in fragments too', async () => {
    const socket = stack.createDatagramSocket('udp4', (data, from) => socket.send(data, from.port, from.address))
    socket.bind(53)
    const { stdout } = await host.node(`
      import { createSocket } from 'node:dgram'
      import { once } from 'node:events'
      const socket = createSocket('udp4')
      for (const length of [0, 1, 1472, 1473, 9000, 65507]) {
        const sent = Buffer.alloc(length, length & 255)
        socket.send(sent, 53, '${STACK}')
        const [got, from] = await once(socket, 'message')
        console.log(length, got.equals(sent), from.address, from.port)
      }
      socket.close()
    `).finish()
    expect(stdout.trim().split('\n')).toEqual([0, 1, 1472, 1473, 9000, 65507].map((length) => `${length} true ${STACK} 53`))
    socket.close()
  })

  it('is told by the kernel that a port is closed, and tells the kernel', async () => {
    const socket = stack.createDatagramSocket('udp4')
    socket.connect(9, KERNEL)
    await once(socket, 'connect')
    const failed = new Promise<NodeJS.ErrnoException>((resolve) => socket.once('error', resolve))
    socket.send('anybody?')
    expect((await failed).code).toBe('ECONNREFUSED')
    socket.close()
    const { stdout } = await host.node(`
      import { createSocket } from 'node:dgram'
      const socket = createSocket('udp4')
      socket.on('error', ({ code }) => { console.log(code); socket.close() })
      socket.connect(9, '${STACK}', () => socket.send('anybody?'))
    `).finish()
    expect(stdout).toBe('ECONNREFUSED\n')
  })

  it('says that its device is gone', async () => {
    const client = stack.connect(1, KERNEL)
    client.on('error', () => {})
    await host.run('ip', ['link', 'delete', 'tun0'], { check: true })
    expect(await stack.closed).toBe('EBADFD')
  })
})

describe('a program with a stack of its own', () => {
  let lab: Lab
  let host: LabNamespace
  beforeEach(async () => {
    lab = await Lab.create(`stack-program${process.pid}`)
    host = await lab.namespace('host')
  })
  afterEach(async () => { await lab.close() })

  const outputOf = async (work: string): Promise<string> => {
    const { stdout } = await host.node(`import { openTunStack } from 'tsnat/sockets'\n${work}`, [], { cwd: REPOSITORY }).finish({ check: true })
    return stdout
  }
  const open = `const stack = openTunStack({ hostAddress: '${KERNEL}/24', addresses: ['${STACK}/24'] })`

  it('ends when its last socket has ended', async () => {
    expect(await outputOf(`
      ${open}
      const server = stack.createServer((socket) => socket.end('goodbye')).listen(80)
      stack.connect(80, '${STACK}').on('data', (data) => console.log(data.toString())).on('end', () => server.close())
    `)).toBe('goodbye\n')
  })

  it('is not held by sockets that need not', async () => {
    expect(await outputOf(`
      ${open}
      stack.createServer().listen(80, () => console.log('listening')).unref()
    `)).toBe('listening\n')
  })

  it('is told what is wrong with its settings', async () => {
    const output = await outputOf(`
      const addresses = ['${STACK}/24']
      for (const options of [{ addresses: ['10.9.0.2/33'] }, { addresses, mtu: 60 }, { addresses, hostAddress: 'x' }, { addresses, name: 'lo' }]) {
        try {
          openTunStack(options)
        } catch ({ code, hint }) {
          console.log(code, hint.length > 0)
        }
      }
    `)
    expect(output.trim().split('\n')).toEqual(['NETWORK_ADDRESS true', 'TUN_SETTING true', 'NETWORK_ADDRESS true', 'INTERFACE_IN_USE true'])
    expect((await host.run('ip', ['-br', 'link'])).stdout.trim().split('\n')).toHaveLength(1)
  })
})
