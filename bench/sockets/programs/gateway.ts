/** A gateway, as a program has it that takes tsnat as a library: the built one, since its worker is a file of its own. */
import { type Sockets, stackSockets } from './api.js'

type Library = typeof import('../../../src/index.js')

/** @param config as parseConfig takes it */
export const openGateway = async (config: object): Promise<Sockets> => {
  const { createGateway, parseConfig } = await import(new URL('../index.js', import.meta.url).href) as Library
  const gateway = await createGateway(parseConfig(config))
  await gateway.ready
  return stackSockets(gateway.sockets)
}
