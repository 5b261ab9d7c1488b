module app {
    requires jdk.httpserver;
}
