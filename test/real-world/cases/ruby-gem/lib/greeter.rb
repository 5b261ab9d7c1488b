require 'webrick'

# Answers every path with a greeting.
module Greeter
  def self.text(path) = "Hello #{path.delete_prefix('/').capitalize}\n"

  def self.serve(port)
    quiet = WEBrick::Log.new(File::NULL)
    server = WEBrick::HTTPServer.new(Port: port, Logger: quiet, AccessLog: [])
    server.mount_proc('/') { |req, res| res.body = text(req.path) }
    %w[INT TERM].each { |name| trap(name) { server.shutdown } }
    server.start
  end
end
