# Rails Action Cable on Puma: broadcasts numbered records, once all clients have subscribed.
# Arguments: PORT CLIENTS COUNT RATE
require "logger"
require "puma"
require "puma/server"
require "active_support"
require "action_cable"

port, clients, count, rate = ARGV.map(&:to_i)
subscribed = Queue.new

class TicksConnection < ActionCable::Connection::Base
end

class TicksChannel < ActionCable::Channel::Base
  cattr_accessor :arrived

  def subscribed
    stream_from "ticks"
    arrived.push(true)
  end
end

TicksChannel.arrived = subscribed
cable = ActionCable.server
# The adapter "async" and more than one worker send records of a stream in the wrong order, now and then.
cable.config.cable = { "adapter" => "inline" }
cable.config.worker_pool_size = 1
cable.config.logger = Logger.new(File::NULL)
cable.config.connection_class = -> { TicksConnection }
# Rails refuses a handshake without one of these.
cable.config.allowed_request_origins = ["https://app.example"]

server = Puma::Server.new(cable)
server.add_tcp_listener("127.0.0.1", port)
server.run
clients.times { subscribed.pop }
began = Process.clock_gettime(Process::CLOCK_MONOTONIC)
(1..count).each do |seq|
  delay = began + seq.to_f / rate - Process.clock_gettime(Process::CLOCK_MONOTONIC)
  sleep(delay) if delay.positive?
  cable.broadcast("ticks", { seq: seq, ts: (Time.now.to_f * 1000).to_i, text: "record #{seq}" })
end
sleep
