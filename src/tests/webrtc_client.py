"""A browser's end of a call by WHIP, with aiortc: does what the lines of its standard input say, and tells of what happens, a JSON object
a line.

  webrtc_client.py URL [--pcmu] [--no-data] [--key KEY] [--relay TURN --user USER --password PASSWORD]

In:  {"do": "say", "wav": FILE}   {"do": "send", "text": …}   {"do": "levels"}   {"do": "close"}
Out: answered (status, headers, body), connected (ms since the offer), message (what came by the data channel), said, levels, closed;
with --relay: way (of what type our own candidate is), no_relay"""

import argparse
import asyncio
import fractions
import json
import sys
import time
import urllib.error
import urllib.request
import wave

import av
import numpy
from aiortc import (
    RTCConfiguration,
    RTCIceServer,
    RTCIceTransportPolicy,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

RATE = 48000
FRAME = RATE // 50


def tell(what, **more):
    print(json.dumps({"event": what, **more}), flush=True)


class Microphone(MediaStreamTrack):
    kind = "audio"

    def __init__(self):
        super().__init__()
        self.began, self.frames, self.waits, self.quiet = None, 0, [], asyncio.Event()

    def say(self, path):
        with wave.open(path) as file:
            sound, rate = numpy.frombuffer(file.readframes(file.getnframes()), numpy.int16), file.getframerate()
        at = numpy.arange(0, len(sound), rate / RATE)
        self.waits.append(numpy.interp(at, numpy.arange(len(sound)), sound).astype(numpy.int16))
        self.quiet.clear()

    async def recv(self):
        self.began = self.began or time.monotonic()
        await asyncio.sleep(max(0, self.began + self.frames * 0.02 - time.monotonic()))
        frame = numpy.zeros(FRAME, numpy.int16)
        if self.waits:
            piece = self.waits[0][:FRAME]
            frame[: len(piece)] = piece
            self.waits[0] = self.waits[0][FRAME:]
            if not len(self.waits[0]):
                self.waits.pop(0)
        else:
            self.quiet.set()
        sound = av.AudioFrame.from_ndarray(frame.reshape(1, -1), "s16", "mono")
        sound.sample_rate, sound.pts, sound.time_base = RATE, self.frames * FRAME, fractions.Fraction(1, RATE)
        self.frames += 1
        return sound


class Ear:
    """What is heard: how many loud samples at 16 kHz since the last question, of how many."""

    def __init__(self):
        self.loud, self.all, self.first = 0, 0, None

    async def listen(self, track):
        resampler = av.AudioResampler("s16", "mono", 16000)
        try:
            while True:
                for frame in resampler.resample(await track.recv()):
                    sound = frame.to_ndarray().reshape(-1)
                    loud = int((numpy.abs(sound.astype(int)) > 1000).sum())
                    if loud and self.first is None:
                        self.first = time.monotonic()
                    self.loud, self.all = self.loud + loud, self.all + len(sound)
        except MediaStreamError:
            pass


def post(url, offer, key):
    request = urllib.request.Request(url, offer.encode(), {"Content-Type": "application/sdp"}, method="POST")
    if key:
        request.add_header("Authorization", f"Bearer {key}")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, dict(answer.headers), answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read().decode()


def ways(wanted):
    """Every way there is, or a relay and nothing else."""
    if not wanted.relay:
        return RTCConfiguration(iceServers=[])
    server = RTCIceServer(urls=wanted.relay, username=wanted.user, credential=wanted.password)
    return RTCConfiguration(iceServers=[server], iceTransportPolicy=RTCIceTransportPolicy.RELAY)


def only_relays(answer):
    """An answer in which the other side's relay is its only way, where it has one."""
    is_way = lambda line: line.startswith("a=candidate:")
    lines = answer.splitlines()
    if not any(is_way(line) and "typ relay" in line for line in lines):
        return answer
    return "".join(line + "\r\n" for line in lines if not is_way(line) or "typ relay" in line)


async def main(wanted):
    peer, microphone, ear, tasks = RTCPeerConnection(ways(wanted)), Microphone(), Ear(), []
    transceiver = peer.addTransceiver(microphone, direction="sendrecv")
    if wanted.pcmu:
        codecs = RTCRtpSender.getCapabilities("audio").codecs
        transceiver.setCodecPreferences([codec for codec in codecs if codec.mimeType == "audio/PCMU"])
    channel = None if wanted.no_data else peer.createDataChannel("events")
    if channel:
        channel.on("message", lambda text: tell("message", message=json.loads(text)))
        channel.on("close", lambda: tell("channel_closed"))
    peer.on("track", lambda track: tasks.append(asyncio.ensure_future(ear.listen(track))))
    await peer.setLocalDescription(await peer.createOffer())
    if wanted.relay and "typ relay" not in peer.localDescription.sdp:
        await peer.close()
        return tell("no_relay")
    began = time.monotonic()
    status, headers, body = await asyncio.to_thread(post, wanted.url, peer.localDescription.sdp, wanted.key)
    tell("answered", status=status, headers={name.lower(): value for name, value in headers.items()}, body=body)
    if status != 201:
        return await peer.close()
    body = only_relays(body) if wanted.relay else body
    await peer.setRemoteDescription(RTCSessionDescription(body, "answer"))
    while peer.connectionState != "connected":
        await asyncio.sleep(0.005)
        if peer.connectionState in ("failed", "closed"):
            tell("failed")
            return
    tell("connected", ms=(time.monotonic() - began) * 1000)
    if wanted.relay:
        pair = transceiver.sender.transport.transport._connection._nominated[1]
        tell("way", ours=pair.local_candidate.type)
    peer.on("connectionstatechange", lambda: tell("state", state=peer.connectionState))
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        order = json.loads(line)
        if order["do"] == "say":
            microphone.say(order["wav"])
            await microphone.quiet.wait()
            tell("said")
        elif order["do"] == "send":
            channel.send(order["text"])
        elif order["do"] == "levels":
            first = None if ear.first is None else (ear.first - began) * 1000
            tell("levels", loud=ear.loud, samples=ear.all, first_ms=first)
            ear.loud, ear.all = 0, 0
        elif order["do"] == "close":
            break
    await peer.close()
    tell("closed")
    for task in tasks:
        task.cancel()


arguments = argparse.ArgumentParser()
arguments.add_argument("url")
arguments.add_argument("--pcmu", action="store_true")
arguments.add_argument("--no-data", action="store_true")
arguments.add_argument("--key")
arguments.add_argument("--relay")
arguments.add_argument("--user")
arguments.add_argument("--password")
asyncio.run(main(arguments.parse_args()))
