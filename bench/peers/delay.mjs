// A line of 20 ms there and back to a server on loopback: all that comes is passed on 10 ms later, in its order.
import net from 'node:net'

const WAY_MS = 10

net
  .createServer({ noDelay: true }, (client) => {
    const server = net.connect({ port: Number(process.env.BENCH_TARGET_PORT), host: '127.0.0.1', noDelay: true })
    for (const [from, to] of [[client, server], [server, client]]) {
      from.on('data', (data) => setTimeout(() => to.write(data), WAY_MS))
      from.on('end', () => setTimeout(() => to.end(), WAY_MS))
      from.on('error', () => to.destroy())
    }
  })
  .listen(Number(process.env.PORT), '127.0.0.1')
