Gem::Specification.new do |spec|
  spec.name = 'greeter'
  spec.version = '0.2.0'
  spec.summary = 'Greets over HTTP'
  spec.authors = ['Someone']
  spec.files = Dir['lib/**/*.rb'] + Dir['exe/*']
  spec.bindir = 'exe'
  spec.executables = ['greeter']
end
