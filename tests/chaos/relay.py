"""A long, bad line between an operator and a server: a relay that delays, or lets nothing pass."""

from __future__ import annotations

import asyncio
import contextlib
import threading


class Relay:
    """Carries connections to a port of this machine, both ways, with `delay` seconds each way.

    While `silent`, connections stay open and nothing passes.
    """

    def __init__(self, to: int) -> None:
        self._to = to
        self.port = 0
        self.delay = 0.0
        self.silent = False
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()
        threading.Thread(target=self._serve, args=(ready,), daemon=True).start()
        ready.wait()

    def _serve(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._carry, "127.0.0.1", self.port)
        )
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        self._loop.run_forever()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            writer.close()
            return
        await asyncio.gather(self._one_way(reader, back), self._one_way(there, writer))

    async def _one_way(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def send() -> None:
            while True:
                due, data = await waiting.get()
                await asyncio.sleep(max(0.0, due - self._loop.time()))
                while self.silent:
                    await asyncio.sleep(0.05)
                if not data:
                    break
                writer.write(data)
                await writer.drain()

        sender = asyncio.ensure_future(send())
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                waiting.put_nowait((self._loop.time() + self.delay, data))
        waiting.put_nowait((self._loop.time() + self.delay, b""))
        with contextlib.suppress(OSError):
            await sender
        writer.close()
