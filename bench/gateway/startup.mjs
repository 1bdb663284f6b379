// From the start of the gateway's process to the first answer that came back through it, in milliseconds.
import { Lab } from '../../dist/testing.js'
import { SERVER } from './variants.mjs'
import { tool } from './tools.mjs'

/** Asks every 2 ms, from before there is a route, and prints when the first answer came (milliseconds since the epoch). */
const prober = `
  import { createSocket } from 'node:dgram'
  const socket = createSocket('udp4')
  socket.on('error', () => {})
  socket.on('message', () => {
    console.log('answer ' + (performance.timeOrigin + performance.now()))
    process.exit(0)
  })
  socket.bind(() => {
    console.log('asking')
    setInterval(() => socket.send('0123456789abcdef', 7000, '${SERVER}', () => {}), 2)
  })`

/** @returns {Promise<{firstAnswer: number, ready: number | null}>} `ready`: until the line "ready", where there is one */
export const startToAnswer = async (variant) => {
  const lab = await Lab.create(`start-${variant.name}`)
  try {
    const rig = await variant.build(lab)
    await rig.server.spawn(tool('echo'), ['server', '7000']).waitFor(/ready/)
    const probe = rig.client.node(prober)
    await probe.waitFor(/asking/)
    const clock = () => performance.timeOrigin + performance.now()
    const start = clock()
    const running = await variant.start(rig)
    const ready = running.ready === undefined ? null : await running.ready.then(() => clock() - start)
    const [, answered] = await probe.waitFor(/answer ([\d.]+)/, 20_000)
    return { firstAnswer: Number(answered) - start, ready }
  } finally {
    await lab.close()
  }
}
